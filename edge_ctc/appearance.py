"""What a cell's images look like, in figures that need no network."""

"""One network from cells: augmentation, loop, weights to start from, export."""

"""What the physician sees of a called run."""

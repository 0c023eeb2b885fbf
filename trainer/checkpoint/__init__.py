"""The checkpoint folder and the reference cells in it."""

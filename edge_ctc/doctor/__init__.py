"""This machine, as calling needs it: what is there, what is broken, and what mends it. Reads only."""

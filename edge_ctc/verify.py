"""Months later: whether a called run is still what was called."""

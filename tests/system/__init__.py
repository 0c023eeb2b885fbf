"""Tests that need root and real mechanisms of the system."""

"""Experiments whose results stand in docs/results.md; nothing else rests on them."""

"""The trainer: labelled runs in, a checkpoint out. Run from a checkout as `python -m trainer`; not in the wheel."""

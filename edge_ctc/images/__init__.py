"""One image file to counts: read safely, the header checked first, decoded exactly; and grey counts to a PNG.

Nothing here knows a run.
"""

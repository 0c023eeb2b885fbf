"""One image file to counts: read safely, the header checked first, decoded exactly. Nothing here knows a run."""

"""What validation scores choose: calibration, thresholds, the promised miss rate."""

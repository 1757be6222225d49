"""How good a result is: lesion-wise overlap and distance, calibration, and distances between sets of masks."""

"""What is made of the members' probabilities: regions, calibration, uncertainty, volumes, out-of-distribution checks."""

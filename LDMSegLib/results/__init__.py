"""What goes out: label map, probabilities, variance, uncertain regions, measurements, report, result folder."""

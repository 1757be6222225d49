"""Figures, not tests: each is a ratio or a size measured in one run on the machine it names."""

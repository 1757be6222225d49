"""A finished segmentation, its provenance and how it is saved."""

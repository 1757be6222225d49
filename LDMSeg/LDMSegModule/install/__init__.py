"""Packages that Slicer's Python lacks, installed on request, and the models on disk."""

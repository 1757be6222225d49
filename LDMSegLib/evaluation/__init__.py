"""Metrics, the matching of results with references, and statistics over a cohort."""

"""Bundles on disk and the networks in them: layout, weights, conversion, export."""

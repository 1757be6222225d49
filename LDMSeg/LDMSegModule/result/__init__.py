"""A result in the scene: import, display, threshold, overlay, uncertain regions, edits."""

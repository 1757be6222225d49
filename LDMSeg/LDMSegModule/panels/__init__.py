"""What the user sees, one file for each group of the panel."""

"""What the panel keeps in the scene, and what the command line is given."""

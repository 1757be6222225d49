"""Settings that the panel keeps in the scene, and the command line's arguments."""

"""One patient's images, found, read, told apart and put on one grid; and a synthetic patient."""

"""How well results agree with references."""

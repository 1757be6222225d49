"""Scripts that make the models: one readable script per phase, one configuration for all of them."""

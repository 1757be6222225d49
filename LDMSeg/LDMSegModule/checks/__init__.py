"""Checks before a run: findings about the inputs, and the estimate of time and memory."""

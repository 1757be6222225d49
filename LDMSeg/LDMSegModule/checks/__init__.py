"""What can be said before a run: findings about the inputs, time and memory."""

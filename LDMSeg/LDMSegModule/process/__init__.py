"""The background process: its command, its events, its outcome, and how it is stopped."""

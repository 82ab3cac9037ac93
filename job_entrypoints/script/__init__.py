"""The user's script: its process, environment, end and failure."""

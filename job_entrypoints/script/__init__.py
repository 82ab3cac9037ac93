"""The user's script: its process, environment and end."""

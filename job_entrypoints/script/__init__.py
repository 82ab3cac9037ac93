"""The user's script: its process, environment, exceptions and notes."""

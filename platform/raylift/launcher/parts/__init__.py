"""Processes of `raylift up`, one per module."""

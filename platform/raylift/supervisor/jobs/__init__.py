"""Brings a job from the queue to its end."""

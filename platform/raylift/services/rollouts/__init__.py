"""Starts, shows and changes rollouts."""

"""Schemas of rollouts."""

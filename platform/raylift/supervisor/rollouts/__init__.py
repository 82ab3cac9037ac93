"""Advances rollouts: planner, executor, and what they watch."""

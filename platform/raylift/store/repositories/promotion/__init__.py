"""Rollouts in the store."""

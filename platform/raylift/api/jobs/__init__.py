"""Schemas of what makes jobs."""

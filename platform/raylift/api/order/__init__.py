"""Schemas of the order of jobs."""

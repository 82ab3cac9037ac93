"""Schemas of the platform as a whole: overview, nodes, queue, settings."""

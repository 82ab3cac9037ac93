"""Requirement files and environments."""

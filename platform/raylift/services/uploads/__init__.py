"""Checks of what users upload."""

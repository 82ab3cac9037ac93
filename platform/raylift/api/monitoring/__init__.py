"""Schemas of the watch over versions."""

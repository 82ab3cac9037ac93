"""Repositories of the watch over versions."""

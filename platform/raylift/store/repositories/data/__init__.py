"""Repositories of data."""

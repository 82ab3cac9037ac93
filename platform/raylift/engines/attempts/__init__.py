"""Attempt directories: files that the platform and the wrapper share."""

"""Batches: predictions for files."""

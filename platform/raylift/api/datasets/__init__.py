"""Schemas of datasets."""

"""Watching versions: comparisons with the reference, and the resource of the API."""

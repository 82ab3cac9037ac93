"""Data in the SDK."""

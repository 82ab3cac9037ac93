"""Watches versions: closes their windows, and raises and ends their alerts."""

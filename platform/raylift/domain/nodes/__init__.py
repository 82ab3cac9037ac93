"""Nodes of a platform: what Ray calls them by, what fits on them, and the one that is set aside."""

"""Datasets: named data of a workspace, in versions by content."""

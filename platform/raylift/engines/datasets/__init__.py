"""Bytes of datasets: where they lie, how they are read, and their profiles."""

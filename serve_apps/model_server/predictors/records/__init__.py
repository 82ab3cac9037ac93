"""A library's own records of its training table."""

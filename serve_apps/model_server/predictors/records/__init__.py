"""Records that a library itself keeps of its training table."""

"""Bodies of uploads, and their translation into requests."""

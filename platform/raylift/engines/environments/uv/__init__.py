"""uv as a subprocess."""

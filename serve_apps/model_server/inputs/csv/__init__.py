"""CSV bodies."""

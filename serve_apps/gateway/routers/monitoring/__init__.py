"""Routes of the watch over versions."""

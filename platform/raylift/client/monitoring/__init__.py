"""The watch over versions."""

"""Bodies and forms of uploads."""

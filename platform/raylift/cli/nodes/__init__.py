"""Commands of several machines: those that join, and those that a platform has."""

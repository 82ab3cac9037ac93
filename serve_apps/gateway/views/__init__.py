"""Translation between domain objects and wire models."""

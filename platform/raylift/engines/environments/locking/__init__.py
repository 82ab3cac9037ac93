"""From requirements to locked packages."""

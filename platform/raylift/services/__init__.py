"""The use cases that the gateway offers. Synchronous, except for what waits: holding a request, following a log."""

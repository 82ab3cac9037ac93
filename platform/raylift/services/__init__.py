"""Use cases of the gateway. Synchronous, except for held requests and followed logs."""

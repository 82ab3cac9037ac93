"""The gateway's door: callers, permissions of routes, and audit."""

"""Keys, callers, workspaces and the audit."""

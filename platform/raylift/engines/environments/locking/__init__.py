"""Resolution of requirements into a lock."""

"""Backup and restore of all that a platform keeps, in one file."""

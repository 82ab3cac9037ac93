"""Attempts on disk and in /proc: their directories, the wrapper's reports, orphan processes."""

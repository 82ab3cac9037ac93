"""Processes as Linux shows them: /proc, signals, process trees."""

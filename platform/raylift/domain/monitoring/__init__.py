"""Watching a version: its reference profile, its windows and its alerts."""

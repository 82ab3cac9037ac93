"""Schedules: plan and execute."""

"""Schedules: requests of users, and the jobs that moments make."""

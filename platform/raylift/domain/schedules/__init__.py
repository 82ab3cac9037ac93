"""Schedules: their records, and the moments of cron expressions."""

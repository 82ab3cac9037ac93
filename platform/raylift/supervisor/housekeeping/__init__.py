"""Retention of jobs, payloads and metrics."""

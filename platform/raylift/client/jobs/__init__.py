"""Uploads, jobs, logs and sweeps in the SDK."""

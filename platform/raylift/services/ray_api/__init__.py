"""Ray's Jobs API in terms of this platform's jobs."""

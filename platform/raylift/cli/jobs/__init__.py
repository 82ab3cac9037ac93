"""Commands about training jobs and sweeps."""

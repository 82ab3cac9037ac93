"""Use cases of training jobs and sweeps."""

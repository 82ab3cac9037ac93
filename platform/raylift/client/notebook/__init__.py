"""Looks of the SDK in notebooks: tables of jobs, models, sweeps and predictions, and live progress."""

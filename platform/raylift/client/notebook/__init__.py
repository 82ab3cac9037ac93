"""What notebooks show of the SDK: tables of jobs, models, sweeps and predictions, and live progress."""

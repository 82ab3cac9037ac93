"""Hooks for MLflow in the script's process: autologging, runs, model tags, the training table."""

"""MLflow inside the script: autologging, runs, model tags, the training table."""

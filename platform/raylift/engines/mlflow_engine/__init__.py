"""MLflow's tracking server and model registry."""

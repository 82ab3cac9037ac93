"""MLflow's server behind a credential."""

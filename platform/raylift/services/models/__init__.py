"""Use cases of registered models and their deployments."""

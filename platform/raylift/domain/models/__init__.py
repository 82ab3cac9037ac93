"""Model versions: their deployments, replicas, metrics and feedback."""

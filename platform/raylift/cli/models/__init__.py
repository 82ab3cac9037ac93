"""Commands about models, deployments, traffic and predictions."""

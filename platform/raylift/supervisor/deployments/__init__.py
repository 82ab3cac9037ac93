"""Deployments: plan, execute, and what follows from the registry."""

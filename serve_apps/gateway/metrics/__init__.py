"""Prometheus metrics of the platform and of models."""

"""Reconciles Ray, Ray Serve and MLflow with the store: plan (pure), execute, and a Ray actor around both."""

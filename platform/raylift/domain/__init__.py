"""Core types and rules, free of I/O, Ray, MLflow, HTTP and SQL."""

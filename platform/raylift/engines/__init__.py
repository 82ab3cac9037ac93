"""The only doors to Ray Jobs, Ray Serve, MLflow and the file system that jobs share with the platform."""

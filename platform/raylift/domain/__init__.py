"""What Raylift is about, with nothing of how: no I/O, no Ray, no MLflow, no HTTP, no SQL."""

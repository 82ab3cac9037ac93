"""Model versions on their way to an endpoint."""

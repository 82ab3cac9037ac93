"""Jobs: admission, plan, execute, registration of models."""

"""Routes of what makes jobs."""

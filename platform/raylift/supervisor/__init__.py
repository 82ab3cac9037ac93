"""Makes the world agree with the store: plan (pure), execute, and a thin Ray actor around both."""

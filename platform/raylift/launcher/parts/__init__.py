"""The processes of `raylift up`, one module each."""

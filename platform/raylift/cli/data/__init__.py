"""``raylift data``."""

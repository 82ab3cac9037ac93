"""``client.rollouts``."""

"""``/mlops/rollouts``."""

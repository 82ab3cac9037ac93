"""Keeps the Ray tasks and actors of a job in its placement group: in the script's process and in each worker."""

"""Runs in the script's process, beside the script."""

"""Hooks in the libraries of the script's process: what they record of a training for the model that is logged."""

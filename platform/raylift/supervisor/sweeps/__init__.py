"""Sweeps: plan and execute."""

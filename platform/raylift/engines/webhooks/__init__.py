"""Sends events to receivers."""

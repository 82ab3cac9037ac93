"""Checks of uploads."""

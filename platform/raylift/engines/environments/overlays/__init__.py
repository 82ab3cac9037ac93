"""Overlays: virtual environments whose packages precede those of the base."""

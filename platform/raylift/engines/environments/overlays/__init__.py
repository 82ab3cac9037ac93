"""Overlays: installed packages that stand before the base environment."""

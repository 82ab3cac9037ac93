"""Subprocesses of uv."""

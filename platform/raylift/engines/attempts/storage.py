"""Folders of jobs that may use Ray, where ``jobs.storage`` names no other place."""

from __future__ import annotations

from pathlib import Path

from raylift.settings import PlatformSettings


def storage_dir(settings: PlatformSettings) -> Path:
    """Return the folder that has one for each such job."""
    return settings.state_dir / "storage"

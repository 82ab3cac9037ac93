"""Which Ray is installed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RayRelease:
    version: str
    commit: str


def ray_release() -> RayRelease:
    """The installed Ray, whether this process is connected to it or not."""
    # Imported when it is asked for: most processes that load the services never are.
    import ray

    return RayRelease(ray.__version__, ray.__commit__)

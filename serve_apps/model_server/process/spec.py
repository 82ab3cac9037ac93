"""Description of a model version for the process that serves it: a replica's, or a warm process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """Fields that a process needs to load a version and to answer for it. All are JSON values."""

    model_name: str
    version: str
    model_uri: str
    mlflow_url: str
    max_body_bytes: int
    files: dict[str, str] | None = None
    """As in ``ReplicaSpec``."""
    batching: dict[str, float] | None = None
    """Fields of the deployment's ``Batching``."""
    counters_dir: str | None = None
    """Directory of its counters; None: it counts in memory only."""
    sketches_dir: str | None = None
    """Directory of sketches of inputs and answers; None: there are none."""
    observer: dict[str, Any] | None = None
    """Fields of an ``ObserverConfig``."""
    worked_on_dir: str | None = None
    """As in ``ReplicaSpec``."""

"""Names in a backup's file, and its manifest. The file is a .tar.gz; other programs can read it."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel

MANIFEST: Final = "manifest.json"
"""First entry of the file."""
STORE: Final = "raylift.db"
STORE_DUMP: Final = "raylift.dump"
"""The store of PostgreSQL, by ``pg_dump --format=custom``."""
MLFLOW_DATABASE: Final = "mlflow/mlflow.db"
ARTIFACTS: Final = "mlflow/artifacts"
ATTEMPTS: Final = "attempts"
FOLDERS: Final = ("payloads", "counters", "sketches", "blobs")
"""Folders that are kept as they are."""
SETTINGS: Final = "settings.yaml"
KEYS: Final = "secrets-key"
ATTEMPT_FILES: Final = ("output.log", "progress.json")
"""Files that a backup has of each attempt. Its instructions may have variables in clear text; its script is in the store."""


class Manifest(BaseModel):
    """Facts about a backup."""

    format: Literal[1] = 1
    raylift: str
    """Version of the release that wrote it."""
    mlflow: str
    """Version of MLflow, whose database only the same or a later one can use."""
    made_at: datetime
    store: Literal["sqlite", "postgresql"]
    has_keys: bool

"""Schema of ``/mlops/settings``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field


class SettingsView(BaseModel):
    """Effective settings, for admins."""

    versions: Annotated[dict[str, str], Field(description="Of Raylift, Python, Ray and MLflow.")]
    settings: Annotated[
        dict[str, Any], Field(description="By section, as docs/reference/settings.md has them. Secrets are `***`.")
    ]

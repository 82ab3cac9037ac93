"""Section ``cluster`` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_SCHEMES: Final = ("redis", "rediss")


def _server_without_password(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in _SCHEMES or not parts.hostname or not parts.port or parts.path.strip("/") or parts.query:
        raise ValueError("it must be redis://HOST:PORT, or rediss://HOST:PORT for TLS")
    if parts.password is not None:
        raise ValueError("it must not have the password, which belongs into the file of cluster.gcs_password_file")
    return value


class ClusterConfig(BaseModel):
    """Section ``cluster``: behaviour of joined nodes while the head is away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gcs_storage: Annotated[str, AfterValidator(_server_without_password)] | None
    gcs_password_file: Path | None
    head_outage_seconds: Annotated[int, Field(ge=60, le=3600)]

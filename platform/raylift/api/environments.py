"""Wire schemas of ``/mlops/environments``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.training import DownloadProgress, TorchBackend


class EnvironmentRequest(BaseModel):
    """Body of ``POST /mlops/environments``."""

    model_config = ConfigDict(extra="forbid")

    requirements: Annotated[list[str], Field(description="PEP 508 requirements, as in an upload.")]
    torch_backend: TorchBackend | None = None


class EnvironmentView(BaseModel):
    """An environment, as it is on the machine of the gateway."""

    hash: Annotated[str | None, Field(description="Its name; null for the platform's own packages alone.")]
    lock: Annotated[list[str], Field(description="What it has beyond the platform's own packages.")]
    built: Annotated[bool, Field(description="False while it is being built, when that failed, or where none was built here.")]
    in_use: Annotated[bool, Field(description="A job, a replica or another process runs in it, or is about to.")]
    size: Annotated[int | None, Field(description="Bytes, with what is kept of packages that were built from source for it.")]
    own_size: Annotated[int | None, Field(description="Of these: bytes that only this environment holds.")] = None
    shared_size: Annotated[int | None, Field(description="Of these: bytes that other environments here hold as well.")] = None
    created_at: datetime | None
    last_used_at: datetime | None
    message: Annotated[str | None, Field(description="Why it could not be built.")]
    progress: Annotated[DownloadProgress | None, Field(description="While it is downloaded and built.")] = None
    note: Annotated[str | None, Field(description="A word about what is being downloaded.")] = None


class EnvironmentList(BaseModel):
    environments: Annotated[list[EnvironmentView], Field(description="Those not built first, then the longest unused.")]
    size: Annotated[int, Field(description="Bytes that they take together: what they share counts once.")]
    max_size: Annotated[int, Field(description="Bytes, from which on the longest unused are removed after a build.")]

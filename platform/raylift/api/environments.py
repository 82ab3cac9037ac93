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
    """An environment on the gateway's machine."""

    hash: Annotated[str | None, Field(description="Its name; null for the platform's own packages alone.")]
    lock: Annotated[list[str], Field(description="Pinned packages beyond the platform's own.")]
    built: Annotated[bool, Field(description="False during a build, after a failed one, or where it was not built here.")]
    in_use: Annotated[bool, Field(description="A job, a replica or another process uses it or is about to.")]
    size: Annotated[int | None, Field(description="Bytes, including the cache of packages built from source for it.")]
    own_size: Annotated[int | None, Field(description="Part of size that only this environment uses.")] = None
    shared_size: Annotated[int | None, Field(description="Part of size that other environments also use.")] = None
    created_at: datetime | None
    last_used_at: datetime | None
    message: Annotated[str | None, Field(description="Reason of a failed build.")]
    progress: Annotated[DownloadProgress | None, Field(description="During download and build.")] = None
    note: Annotated[str | None, Field(description="Hint about the downloads.")] = None
    used_by: Annotated[
        list[str], Field(description="Jobs by id, deployments as `NAME version V (STATUS)`; in the answer for one environment.")
    ] = []


class EnvironmentList(BaseModel):
    environments: Annotated[list[EnvironmentView], Field(description="Unbuilt ones first, then by last use, oldest first.")]
    size: Annotated[int, Field(description="Bytes of all together; shared files count once.")]
    max_size: Annotated[int, Field(description="Bytes. Beyond this limit a build removes the least recently used ones.")]

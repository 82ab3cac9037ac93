"""Wire schemas of ``/mlops/environments``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class EnvironmentRequest(BaseModel):
    """Body of ``POST /mlops/environments``."""

    model_config = ConfigDict(extra="forbid")

    requirements: Annotated[list[str], Field(description="PEP 508 requirements, as in an upload.")]


class EnvironmentView(BaseModel):
    """An environment, as it is on the machine of the gateway."""

    hash: Annotated[str | None, Field(description="Its name; null for the platform's own packages alone.")]
    lock: Annotated[list[str], Field(description="What it has beyond the platform's own packages.")]
    built: Annotated[bool, Field(description="False while it is being built, when that failed, or where none was built here.")]
    in_use: Annotated[bool, Field(description="A job, a replica or another process runs in it, or is about to.")]
    size: Annotated[int | None, Field(description="Bytes. A file that several environments share counts in each.")]
    created_at: datetime | None
    last_used_at: datetime | None
    message: Annotated[str | None, Field(description="Why it could not be built.")]


class EnvironmentList(BaseModel):
    environments: Annotated[list[EnvironmentView], Field(description="Those not built first, then the longest unused.")]
    size: Annotated[int, Field(description="Bytes, all together.")]
    max_size: Annotated[int, Field(description="Bytes, from which on the longest unused are removed after a build.")]

"""A request for a batch, as routers hand it to the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from raylift.domain.batches.batch import Format, OnError
from raylift.domain.job import Resources


@dataclass(frozen=True, slots=True)
class UploadedFile:
    name: str
    content: BinaryIO


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Fields of a request. Their types are right, and nothing else is checked."""

    model_name: str
    owner: str
    workspace: str
    version: str | None = None
    """A number, or ``job:ID`` for the version that a job registers."""
    alias: str | None = None
    after: Sequence[str] = ()
    input: str | None = None
    uploads: Sequence[UploadedFile] = ()
    output: str | None = None
    input_format: Format | None = None
    output_format: Format | None = None
    columns: Sequence[str] | None = None
    keep: Sequence[str] | None = None
    probabilities: bool = False
    on_error: OnError = OnError.FAIL
    stamp: bool = False
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: Sequence[str] = ()
    resources: Resources = field(default_factory=Resources)
    timeout_seconds: int = 86_400
    max_retries: int = 0
    priority: int = 50
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

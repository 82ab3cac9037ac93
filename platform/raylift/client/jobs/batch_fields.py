"""Fields of a request for a batch, of one that starts now or of a schedule's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from raylift.client.jobs.batch_files import is_remote, without_scheme
from raylift.client.jobs.upload import ids_of

FileFormat = Literal["parquet", "csv", "jsonl"]


def batch_fields(
    model: str,
    *,
    output: str | None = None,
    version: str | int | None = None,
    alias: str | None = None,
    after: Iterable[str] | str = (),
    input_format: FileFormat | None = None,
    output_format: FileFormat | None = None,
    columns: Iterable[str] | None = None,
    keep: Iterable[str] | None = None,
    proba: bool = False,
    on_error: Literal["fail", "skip", "null"] = "fail",
    stamp: bool = False,
    params: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
    cpus: float = 1.0,
    memory: int | str = "2GiB",
    gpus: float = 0.0,
    timeout: int = 86_400,
    max_retries: int = 0,
    priority: int = 50,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the fields of a request, without its input. Raises ValueError for an output on this machine."""
    if output is not None and not is_remote(output):
        raise ValueError(f"{output} is on this machine: use client.batches.run, or write file:///… for the platform's")
    return {
        "model_name": model,
        "model_version": None if version is None else str(version),
        "alias": alias,
        "after": ids_of(after),
        "output": None if output is None else without_scheme(output),
        "input_format": input_format,
        "output_format": output_format,
        "columns": None if columns is None else list(columns),
        "keep": None if keep is None else list(keep),
        "return_probabilities": proba,
        "on_error": on_error,
        "stamp": stamp,
        "params": dict(params or {}),
        "secrets": list(secrets),
        "resources": {"cpus": cpus, "memory": memory, "gpus": gpus},
        "timeout_seconds": timeout,
        "max_retries": max_retries,
        "priority": priority,
        "tags": dict(tags or {}),
    }

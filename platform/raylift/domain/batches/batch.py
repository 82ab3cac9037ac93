"""A batch: a job that predicts for all rows of some files, and writes the answers to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from raylift.domain.jobs_order import JOB_PREFIX

SCRIPT_NAME: Final = "batch.py"
SCRIPT: Final = '''"""Runs a batch: predicts for the rows of files, as its order says (docs/guides/batches.md)."""

import os

from serve_apps.batch.program import main

if __name__ == "__main__":
    main(os.path.join(os.path.dirname(os.path.abspath(__file__)), "order.json"))
'''
"""Script of every batch. Its order lies beside it."""


class Format(StrEnum):
    """Format of a file of rows."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    """JSON lines: an object a line."""


class OnError(StrEnum):
    """Behaviour for a row that the model does not take."""

    FAIL = "fail"
    """The batch fails, and writes nothing."""
    SKIP = "skip"
    """The row is left out."""
    NULL = "null"
    """The row is kept, with null for its prediction."""


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """Request of a batch, with the version that its alias named at the submission."""

    model_name: str
    version: str
    output_format: Format
    version_of: str | None = None
    """Job that registers the version. Until it has completed, ``version`` is empty."""
    alias: str | None = None
    input: str | None = None
    """File, folder or pattern on the platform's machine, or ``s3://``. None: files that were uploaded."""
    output: str | None = None
    """File or folder there. None: a file that the platform keeps for a download."""
    uploads: tuple[str, ...] = ()
    """Names of uploaded files."""
    input_format: Format | None = None
    """None: by the names of the files."""
    columns: tuple[str, ...] | None = None
    """Columns for the model. None: those that it knows by name, else all."""
    keep: tuple[str, ...] | None = None
    """Columns of the input to write beside the predictions. None: all."""
    probabilities: bool = False
    on_error: OnError = OnError.FAIL
    stamp: bool = False
    """Write columns with the version and the time, too."""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Inference parameters of the model."""
    newest: bool = False
    """True where the request named neither version nor alias: a schedule then takes the newest version each time."""

    def at(self, moment: datetime) -> BatchSpec:
        """Return the batch of a schedule's moment: its paths have the day and the time of it."""
        return replace(self, input=_filled(self.input, moment), output=_filled(self.output, moment))

    @property
    def shown_version(self) -> str:
        """The version, or ``job:ID`` while that job has yet to register it."""
        return self.version or f"{JOB_PREFIX}{self.version_of}"


_FIELDS: Final[Mapping[str, str]] = {"{date}": "%Y-%m-%d", "{time}": "%H%M%S"}


def has_time(location: str) -> bool:
    """Return True for a path with ``{date}`` or ``{time}``."""
    return any(name in location for name in _FIELDS)


def _filled(location: str | None, moment: datetime) -> str | None:
    for name, form in _FIELDS.items():
        location = None if location is None else location.replace(name, moment.strftime(form))
    return location


_OF_SUFFIX: Final[Mapping[str, Format]] = {
    "parquet": Format.PARQUET,
    "pq": Format.PARQUET,
    "csv": Format.CSV,
    "jsonl": Format.JSONL,
    "ndjson": Format.JSONL,
}
_COMPRESSED: Final = frozenset({"gz", "bz2", "zst"})


def format_of(name: str) -> Format | None:
    """Return the format of a file by its name, such as ``rows.csv.gz``; None for an unknown one."""
    *parts, last = name.rpartition("/")[2].lower().split(".")
    if last in _COMPRESSED and len(parts) > 1:
        *parts, last = parts
        known = _OF_SUFFIX.get(last)
        return None if known is Format.PARQUET else known
    return _OF_SUFFIX.get(last) if parts else None


def is_file_name(output: str) -> bool:
    """Return True where an output is one file, and not a folder of parts."""
    return not output.endswith("/") and format_of(output) is not None

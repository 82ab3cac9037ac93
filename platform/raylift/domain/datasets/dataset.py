"""A dataset: named data of a workspace. Each version is a set of files that never changes. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from raylift.domain.job_data import DataInput

ALIAS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Form of the name that a job gives to a dataset: its upper case ends the name of a variable."""
ALIAS_FORM: Final = "1 to 64 letters, digits and underscores, not beginning with a digit"
VARIABLE_PREFIX: Final = "RAYLIFT_DATA_"
SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REFERENCE: Final = re.compile(r"(?P<name>[^@]+)(@(?P<version>[1-9][0-9]{0,8}))?")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a version."""

    path: str
    """Its path in the dataset, with slashes."""
    sha256: str
    size_bytes: int
    location: str | None = None
    """Path or s3:// address of a registered file; None: the platform has its bytes."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Description of a version's tables, read at a bounded cost."""

    format: str | None = None
    """parquet, csv or jsonl; None: the files are no tables, or of several formats."""
    rows: int | None = None
    """All rows of the version; None: not counted."""
    profiled_rows: int = 0
    """First rows, of which the statistics of the columns are."""
    columns: tuple[Mapping[str, Any], ...] = ()
    """By column: name, type, missing, and min, max, mean and quantiles, or the most frequent values."""
    note: str | None = None
    """Sentence on what is missing here, and why."""


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A version of a dataset as stored."""

    workspace: str
    name: str
    version: int
    digest: str
    """SHA-256: of the file, or of the folder's list of files (``digest_of``)."""
    size_bytes: int
    file_count: int
    is_folder: bool
    created_at: datetime
    created_by: str
    source: str | None = None
    """Path or s3:// address that was registered; None: its files were uploaded."""
    job_id: str | None = None
    """Job whose output it is."""
    profile: Profile = field(default_factory=Profile)

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset in a list: its newest version, and how many there are."""

    newest: DatasetVersion
    versions: int


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """A job that got a version as data."""

    job_id: str
    alias: str
    version: int
    status: str
    created_at: datetime
    model_name: str | None
    model_version: str | None


def digest_of(files: Sequence[DataFile], *, is_folder: bool) -> str:
    """Return the digest of a version: of one file its SHA-256; of a folder that of ``sha256sum``'s lines, sorted by path."""
    if not is_folder:
        (file,) = files
        return file.sha256
    return listing_digest(files)


def listing_digest(files: Iterable[DataFile]) -> str:
    """Return the SHA-256 of the lines that ``sha256sum`` prints for the files, sorted by path."""
    lines = (f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def parse_reference(text: str) -> tuple[str, int | None] | None:
    """Return name and version of ``name`` or ``name@3``; None for other texts."""
    match = _REFERENCE.fullmatch(text)
    return None if match is None else (match["name"], int(match["version"]) if match["version"] else None)


def data_variable(alias: str) -> str:
    """Return the environment variable that has the local path of a job's data."""
    return f"{VARIABLE_PREFIX}{alias.upper()}"


def references(inputs: Iterable[DataInput]) -> dict[str, str]:
    """Return ``name@version`` by alias."""
    return {each.alias: f"{each.name}@{each.version}" for each in inputs}

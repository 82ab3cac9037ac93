"""Checks of the paths of a batch. It may read and write what a sandboxed script may, and nothing more.

The kernel holds that for the batch's process as well (docs/adr/0028). These checks come first, with a sentence; a path outside
of the folders is refused before that folder is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from raylift.domain.batches.batch import BatchSpec, Format, format_of, is_file_name
from raylift.domain.errors import FieldError
from raylift.settings import JobSettings

_S3: Final = "s3://"
_FILE: Final = "file://"
_PATTERN: Final = re.compile(r"[*?\[]")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST: Final = 4096


def location_of(text: str) -> str:
    """Return a location without ``file://``."""
    return text.removeprefix(_FILE) if text.startswith(f"{_FILE}/") else text


def check_input(text: str, settings: JobSettings, *, exists: bool = True) -> Iterator[FieldError]:
    """Yield what is wrong with an input. ``exists``: it must be there."""
    yield from _form("input", text)
    location = location_of(text)
    if not _is_path(location):
        return
    fixed = _fixed_part(location)
    if not _is_within(fixed, (*settings.readable_paths, *settings.writable_paths)):
        yield FieldError(
            "input",
            f"{location} is outside of the folders that batches may read. An operator can add one to jobs.readable_paths; "
            "small files can be uploaded instead",
        )
    elif exists and not _has_files(location):
        yield FieldError("input", f"{location} does not exist on the platform's machine, or may not be read: check the path")


def check_output(text: str, settings: JobSettings, *, exists: bool = True) -> Iterator[FieldError]:
    """Yield what is wrong with an output. ``exists``: its folder must be there."""
    yield from _form("output", text)
    location = location_of(text)
    if _PATTERN.search(location):
        yield FieldError("output", "is a pattern: name one file, or a folder")
    if not _is_path(location):
        return
    path = Path(location.rstrip("/"))
    if not path.name:
        yield FieldError("output", "has no name: name a file, or a folder")
    elif not _is_within(str(path.parent), settings.writable_paths):
        yield FieldError(
            "output",
            f"{location} is outside of the folders that batches may write. An operator can add one to jobs.writable_paths; "
            "without an output the platform keeps the file for a download",
        )
    elif exists and not _is_folder(path.parent):
        yield FieldError("output", f"{path.parent} is no folder on the platform's machine: make it first")
    elif os.path.lexists(path):
        yield FieldError("output", f"{location} exists already: remove it, or choose another")


def check_formats(output: str | None, wanted: Format | None) -> Iterator[FieldError]:
    """Yield an error where the name of the output says another format than the request."""
    if output is None or wanted is None or not is_file_name(output):
        return
    named = format_of(output)
    if named is not None and named is not wanted:
        yield FieldError("output_format", f"is {wanted}, and the output's name says {named}: leave it out, or change the name")


def check_again(batch: BatchSpec, settings: JobSettings) -> Iterator[FieldError]:
    """Yield what is wrong by now with the paths of a batch that was accepted once."""
    if batch.input is not None:
        yield from check_input(batch.input, settings)
    if batch.output is not None:
        yield from check_output(batch.output, settings)
        yield from check_formats(batch.output, batch.output_format)


def check_upload_name(name: str) -> Iterator[FieldError]:
    """Yield an error for a name that cannot be a file's here."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name.encode()) > 200:
        yield FieldError("file", f"has the name {name!r}: give it a plain file name of at most 200 bytes")


def _form(field: str, text: str) -> Iterator[FieldError]:
    location = location_of(text)
    if "\0" in text or len(text) > _LONGEST:
        yield FieldError(field, f"holds a null byte, or is longer than {_LONGEST} characters")
    elif location.startswith(_S3):
        bucket, _, key = location.removeprefix(_S3).partition("/")
        if not key:
            yield FieldError(field, "names no object: write s3://BUCKET/KEY")
        elif not _BUCKET.fullmatch(bucket):
            # The address is shown and kept in clear text, so it is not said again.
            yield FieldError(field, "has more than a bucket's name after s3://: credentials belong in a secret (secrets)")
    elif not location.startswith("/"):
        yield FieldError(field, "is neither a path on the platform's machine (/data/rows.parquet) nor s3://BUCKET/KEY")
    elif ".." in location.split("/"):
        yield FieldError(field, "has .. in it: write the whole path")
    elif location.count("**") > 1:
        yield FieldError(field, "has ** twice: once stands for folders of every depth")


def _is_path(location: str) -> bool:
    has_no_tricks = ".." not in location.split("/") and "\0" not in location and location.count("**") < 2
    return location.startswith("/") and has_no_tricks and len(location) <= _LONGEST


def _fixed_part(location: str) -> str:
    """Return the folders before the first one with a wildcard; the whole path without any."""
    parts = location.split("/")
    first = next((index for index, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
    return "/".join(parts[:first]) or "/"


def _is_within(path: str, roots: Sequence[Path]) -> bool:
    """Return True for a path that lies in one of the folders, by its name and with its links followed."""
    for root in roots:
        known = Path(os.path.normpath(root))
        real = Path(os.path.realpath(path))
        if Path(os.path.normpath(path)).is_relative_to(known) and real.is_relative_to(os.path.realpath(known)):
            return True
    return False


def _has_files(location: str) -> bool:
    if not _PATTERN.search(location):
        return os.access(location, os.F_OK)
    base = _fixed_part(location)
    if "**" in location:
        return _is_folder(Path(base))  # The batch looks below it: it may be a large tree.
    return next(Path(base).glob(location.removeprefix(base).lstrip("/")), None) is not None


def _is_folder(path: Path) -> bool:
    """Return True for a folder. One that the platform may not look at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False

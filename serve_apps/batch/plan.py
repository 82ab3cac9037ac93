"""Plan of a batch: its input files as they were found, and the items of work they are cut into.

The first attempt writes it. Later ones go on with it, and refuse inputs that have changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from raylift.domain.batches.batch import Format, format_of
from raylift.domain.batches.order import INPUT_FOLDER, BatchOrder
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.places import Place, files_at, place_of, require_within, unreadable

_ITEM_ROWS: Final = 1 << 18
"""Rows of neighbouring row groups that become one item. A larger row group is one by itself."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file as it was found."""

    path: str
    size: int
    changed_ns: int
    rows: int | None
    """None: unknown before it is read."""


@dataclass(frozen=True, slots=True)
class Item:
    """Rows that one process scores in one go, and writes as one part."""

    number: int
    file: int
    first_row: int
    rows: int | None
    first_group: int = 0
    end_group: int = 0
    """Row groups of a Parquet file; the whole file in other formats."""


@dataclass(frozen=True, slots=True)
class Plan:
    format: Format
    files: tuple[InputFile, ...]
    items: tuple[Item, ...]
    started_at: str
    """Time of the first attempt: the value of the column ``scored_at``."""

    @property
    def rows(self) -> int | None:
        """Rows of all files; None where the format does not say."""
        counts = [file.rows for file in self.files]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the plan of an earlier attempt; None at the first."""
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        files = tuple(InputFile(**file) for file in values["files"])
        items = tuple(Item(**item) for item in values["items"])
        return cls(Format(values["format"]), files, items, values["started_at"])


def make_plan(order: BatchOrder) -> Plan:
    """Find the input files and cut them into items.

    Raises:
        BatchFailed: There are none, they may not be read, or their formats are unknown or differ.
    """
    place = input_place(order)
    found = [(info, order.spec.input_format or format_of(info.path)) for info in files_at(place)]
    if len(found) > 1 and order.spec.input_format is None:
        found = [(info, form) for info, form in found if form is not None]
    forms = {form for _, form in found}
    if not found or None in forms:
        raise BatchFailed(
            f"The format of the input {place.shown} is not known from its name: name it .parquet, .csv or .jsonl, "
            "or give the format (--input-format, input_format)."
        )
    if len(forms) > 1:
        names = " and ".join(sorted(str(form) for form in forms))
        raise BatchFailed(f"The input has files of several formats, {names}: give a pattern that matches one of them.")
    (form,) = forms
    assert form is not None  # noqa: S101 - as above
    if place.is_local:
        roots = (*order.readable, f"{order.directory}/{INPUT_FOLDER}")
        for info, _ in found:
            require_within(info.path, roots, does="read", setting="jobs.readable_paths")
    files: list[InputFile] = []
    items: list[Item] = []
    for info, _ in found:
        metadata = _metadata(place.at(info.path)) if form is Format.PARQUET else None
        rows = None if metadata is None else metadata.num_rows
        items += _items(len(files), len(items), metadata)
        files.append(InputFile(info.path, info.size, info.mtime_ns or 0, rows))
    if not items or all(file.size == 0 for file in files):
        raise BatchFailed(f"The input {place.shown} has no rows: nothing was written.")
    return Plan(form, tuple(files), tuple(items), datetime.now(UTC).isoformat(timespec="seconds"))


def input_place(order: BatchOrder) -> Place:
    return place_of(order.spec.input or f"{order.directory}/{INPUT_FOLDER}")


def require_unchanged(place: Place, file: InputFile) -> None:
    """Raise BatchFailed where a file is not the one that was planned."""
    try:
        info = place.files.get_file_info(file.path)
    except OSError as error:
        raise unreadable(file.path, error) from error
    if info.type is fs.FileType.NotFound:
        raise BatchFailed(f"{file.path} is gone since the batch began: put it back, or start a new batch.")
    if (info.size, info.mtime_ns or 0) != (file.size, file.changed_ns):
        raise BatchFailed(f"{file.path} has changed since the batch began: start a new batch, on files that stay as they are.")


def write_json(path: Path, content: Any) -> None:
    """Replace a file in one step."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)


def _metadata(place: Place) -> pq.FileMetaData:
    try:
        with place.files.open_input_file(place.path) as file:
            return pq.read_metadata(file)
    except pa.ArrowInvalid as error:
        raise BatchFailed(f"{place.shown} is no Parquet file: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise unreadable(place.shown, error) from error


def _items(file: int, number: int, metadata: pq.FileMetaData | None) -> Iterator[Item]:
    if metadata is None:
        yield Item(number, file, 0, None)
        return
    first_row = 0
    for first, end, rows in _groups([metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]):
        yield Item(number, file, first_row, rows, first, end)
        number, first_row = number + 1, first_row + rows


def _groups(counts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first, end, rows) of row groups that are read together."""
    first, rows = 0, 0
    for index, count in enumerate(counts):
        if rows and rows + count > _ITEM_ROWS:
            yield first, index, rows
            first, rows = index, 0
        rows += count
    if rows:
        yield first, len(counts), rows

"""Parts of an output: one for each item, written whole or not at all, with the rows that were rejected."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa
from pyarrow import fs

from raylift.domain.batches.batch import Format
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.places import Place
from serve_apps.batch.plan import write_json
from serve_apps.batch.writers import json_line, table_writer

_DONE: Final = "done"
_REJECTED: Final = "rejected"


@dataclass(frozen=True, slots=True)
class Part:
    """Record of a part that is finished."""

    number: int
    name: str
    size: int
    rows_in: int
    rows_out: int
    rejected: int


class Parts:
    """The finished parts of a batch: records in its own directory, the rows where the output will be."""

    def __init__(self, work: Path, folder: Place, form: Format) -> None:
        self._work, self.folder, self.form = work, folder, form
        for name in (_DONE, _REJECTED):
            (work / name).mkdir(exist_ok=True)

    def place(self, number: int) -> Place:
        return self.folder.at(f"{self.folder.path}/{self.name(number)}")

    def draft(self, number: int) -> Path:
        """Return the path of an unfinished part, on this machine."""
        folder = Path(self.folder.path) if self.folder.is_local else self._work
        return folder / f"{self.name(number)}.tmp"

    def name(self, number: int) -> str:
        return f"part-{number:06}.{self.form}"

    def rejected_file(self, number: int) -> Path:
        return self._work / _REJECTED / f"{number:06}.jsonl"

    def record(self, part: Part) -> None:
        write_json(self._work / _DONE / f"{part.number:06}.json", asdict(part))

    def open(self, number: int) -> Any:
        """Open a part as a stream."""
        return io.BufferedReader(cast("Any", self.place(number).files.open_input_file(self.place(number).path)))

    def open_parquet(self, number: int) -> Any:
        return self.place(number).files.open_input_file(self.place(number).path)

    def finished(self, *, anywhere: bool = False) -> dict[int, Part]:
        """Return the parts that are finished and still there, by number. ``anywhere``: also those that were moved since."""
        found: dict[int, Part] = {}
        for path in (self._work / _DONE).glob("[0-9]*.json"):
            part = Part(**json.loads(path.read_bytes()))
            if anywhere or self.place(part.number).info().size == part.size:
                found[part.number] = part
        return found

    def finished_in_order(self, count: int, *, anywhere: bool) -> list[Part]:
        """Return all parts of a batch.

        Raises:
            BatchFailed: One is gone.
        """
        found = self.finished(anywhere=anywhere)
        if missing := [number for number in range(count) if number not in found]:
            raise BatchFailed(f"{self.name(missing[0])} of the output is gone from {self.folder.shown}: start the batch again.")
        return [found[number] for number in range(count)]


class PartWriter:
    """Writes one part. It appears under its name when it is closed."""

    def __init__(self, parts: Parts, number: int) -> None:
        self._parts, self._number = parts, number
        self._target = parts.place(number)
        self._draft = parts.draft(number)
        self._writer = table_writer(self._draft, parts.form)
        self._rejected: BinaryIO | None = None
        self._counts = [0, 0, 0]

    def write(self, table: pa.Table | None, rows_in: int, rejected: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a chunk."""
        self._counts[0] += rows_in
        if table is not None and table.num_rows:
            self._counts[1] += table.num_rows
            self._writer.write(table)
        if rejected:
            self._counts[2] += len(rejected)
            if self._rejected is None:
                self._rejected = self._parts.rejected_file(self._number).open("wb")
            self._rejected.writelines(json_line(row) for row in rejected)

    def close(self) -> Part:
        """Finish the part."""
        self._writer.close()
        if self._rejected is not None:
            self._rejected.close()
        size = self._draft.stat().st_size
        if self._target.is_local:
            sync(self._draft)
            self._draft.replace(self._target.path)
        else:
            fs.copy_files(str(self._draft), self._target.path, fs.LocalFileSystem(), self._target.files)
            self._draft.unlink()
        part = Part(self._number, self._parts.name(self._number), size, *self._counts)
        self._parts.record(part)
        return part


def sync(path: Path) -> None:
    """Let a finished file survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The directory of a batch: uploaded files, and what its program leaves. Unlike an attempt's directory it serves all attempts.

Its program runs in the sandbox and may have written anything there, so files are read with suspicion.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raylift.domain.batches.batch import Format
from raylift.domain.batches.order import (
    INPUT_FOLDER,
    PROGRESS_FILE,
    REJECTED_NAME,
    RESULT_FILE,
    WORK_FOLDER,
    output_name,
)
from raylift.engines.attempts.untrusted_file import open_plain, plain_size, read_plain

log = logging.getLogger(__name__)

_RECORD_LIMIT: Final = 2**16
_PIECE: Final = 1 << 20

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Path_ = Annotated[str, Field(max_length=4096)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


R = TypeVar("R", bound=_Record)


class BatchProgress(_Record):
    """Progress of a batch, as its program reports it."""

    phase: Annotated[str, Field(pattern="^(scoring|writing)$")]
    rows: Count
    rows_total: Count | None
    """None: the format does not say it before the files are read."""
    rejected: Count
    items: Count
    """Parts of the output that are finished."""
    items_total: Count
    rows_per_second: Seconds | None
    eta_seconds: Seconds | None


class BatchResult(_Record):
    """Result of a batch, as its program reports it."""

    output: Path_ | None
    """None: the platform keeps it."""
    rejected_output: Path_ | None
    rows: Count
    rows_written: Count
    rejected: Count
    files: Count

    def sentence(self) -> str:
        rejected = f", {self.rejected} rejected" if self.rejected else ""
        where = "The output is ready for download." if self.output is None else f"The output is {self.output}."
        return f"Scored {self.rows} rows of {self.files} {'file' if self.files == 1 else 'files'}{rejected}. {where}"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is open for reading."""

    name: str
    size: int
    file: BinaryIO

    def pieces(self) -> Iterator[bytes]:
        with self.file:
            while piece := self.file.read(_PIECE):
                yield piece


class BatchDirectory:
    def __init__(self, batches_dir: Path, job_id: str) -> None:
        self.path = batches_dir / job_id

    def make(self) -> None:
        """Make it. Only the platform's user may enter."""
        for name in ("", INPUT_FOLDER, WORK_FOLDER):
            (self.path / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def add_input(self, name: str, content: BinaryIO) -> None:
        """Store an uploaded file. ``name`` has no slash."""
        with (self.path / INPUT_FOLDER / name).open("xb") as file:
            shutil.copyfileobj(content, file, _PIECE)

    def open_input(self, name: str) -> BinaryIO | None:
        """Open an uploaded file; None if it is gone."""
        return open_plain(self.path / INPUT_FOLDER / name)

    def progress(self) -> BatchProgress | None:
        """Return the last report; None before the first, or where it is malformed."""
        return self._record(PROGRESS_FILE, BatchProgress)

    def result(self) -> BatchResult | None:
        """Return the result; None before the output is there, or where it is malformed."""
        return self._record(RESULT_FILE, BatchResult)

    def open_output(self, form: Format) -> OpenFile | None:
        """Open the output that the platform keeps; None if there is none."""
        return self._open(output_name(form)) if self.result() is not None else None

    def open_rejected(self) -> OpenFile | None:
        """Open the rejected rows of an output that the platform keeps; None if there are none."""
        return self._open(REJECTED_NAME) if self.result() is not None else None

    def output_bytes(self, form: Format) -> int:
        return plain_size(self.path / WORK_FOLDER / output_name(form))

    def remove(self) -> None:
        """Remove it. Safe to repeat."""
        shutil.rmtree(self.path, ignore_errors=True)

    def age_seconds(self) -> float:
        try:
            return time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _open(self, name: str) -> OpenFile | None:
        file = open_plain(self.path / WORK_FOLDER / name)
        return None if file is None else OpenFile(name, os.fstat(file.fileno()).st_size, file)

    def _record(self, name: str, kind: type[R]) -> R | None:
        try:
            content = read_plain(self.path / WORK_FOLDER / name, _RECORD_LIMIT)
            return None if content is None else kind.model_validate_json(content)
        except (ValidationError, ValueError, OSError) as error:
            log.warning("%s of %s cannot be read: %s", name, self.path.name, error)
            return None


def batches_on_disk(batches_dir: Path) -> list[str]:
    """Return the ids of batches that have a directory."""
    return sorted(path.name for path in batches_dir.iterdir() if path.is_dir()) if batches_dir.is_dir() else []

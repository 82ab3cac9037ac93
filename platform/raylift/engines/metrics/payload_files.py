"""Logs payloads to Parquet files: ``{model}/{version}/date=YYYY-MM-DD/HHMMSS-….parquet``."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from raylift.domain.identifiers import MODEL_NAME

log = logging.getLogger(__name__)

_SUFFIX: Final = ".parquet"
_NEW: Final = ".new"
_LONGEST_NAME: Final = 150
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Payload:
    """One request and its answer: a row of a file, with these columns."""

    request_id: str
    time: datetime
    """Time of the answer, UTC."""
    model_name: str
    model_version: str
    protocol: str
    status: int
    error: str | None
    """The error's kind; None without one."""
    latency_ms: float
    rows: int
    inputs: str | None
    """The request's raw body; None if it is no text, or larger than the deployment's ``max_body_bytes``."""
    outputs: str | None
    """The answer's raw body, likewise."""
    inputs_bytes: int
    outputs_bytes: int
    traceparent: str | None


def version_directory(root: Path, model_name: str, version: str) -> Path:
    """Directory of a version's files."""
    return root / _safe(model_name) / _safe(version)


def write_payloads(root: Path, payloads: Sequence[Payload]) -> Path:
    """Write a file of payloads of one version, at least one. It appears in the directory when it is complete.

    Raises:
        OSError: It cannot be written.
    """
    # Imported here: only versions that log payloads pay for it.
    import pyarrow as pa
    from pyarrow import parquet

    arrow: Any = pa
    first = payloads[0]
    day = version_directory(root, first.model_name, first.model_version) / f"date={first.time:%Y-%m-%d}"
    day.mkdir(parents=True, exist_ok=True, mode=0o700)
    columns = {field.name: [getattr(payload, field.name) for payload in payloads] for field in fields(Payload)}
    file = day / f"{first.time:%H%M%S}-{uuid.uuid4().hex[:12]}{_SUFFIX}"
    # Readers of a folder, such as pandas and DuckDB, pass hidden files over.
    new = file.with_name(f".{file.stem}{_NEW}")
    write: Any = parquet.write_table  # pyright: ignore[reportUnknownMemberType]
    try:
        write(arrow.Table.from_pydict(columns, schema=_schema(arrow)), new, compression="zstd")
        new.rename(file)
    finally:
        new.unlink(missing_ok=True)
    return file


def remove_payloads(root: Path, *, before: datetime | None, max_bytes: int | None) -> int:
    """Remove files last written before ``before``, and the oldest beyond ``max_bytes`` in total. Returns their number."""
    found: list[tuple[float, int, Path]] = []
    for path in _all_files(root):
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    found.sort(reverse=True)
    total_bytes, removed = 0, 0
    for changed, size, path in found:
        total_bytes += size
        is_old = before is not None and changed < before.timestamp()
        if is_old or (max_bytes is not None and total_bytes > max_bytes):
            path.unlink(missing_ok=True)
            removed += 1
    _remove_empty(root)
    return removed


def _all_files(root: Path) -> Iterator[Path]:
    # A killed process leaves an unfinished file behind.
    for suffix in (_SUFFIX, _NEW):
        yield from root.glob(f"*/*/date=*/*{suffix}")


def _remove_empty(root: Path) -> None:
    # A version's own directory stays: its processes are confined to it, and could not make it again.
    for directory in root.glob("*/*/date=*"):
        with suppress(OSError):  # not empty, or gone
            directory.rmdir()


def _schema(arrow: Any) -> Any:
    text, number = arrow.string(), arrow.int64()
    types = {
        "time": arrow.timestamp("us", tz="UTC"),
        "status": arrow.int32(),
        "latency_ms": arrow.float64(),
        "rows": number,
        "inputs_bytes": number,
        "outputs_bytes": number,
    }
    return arrow.schema([(field.name, types.get(field.name, text)) for field in fields(Payload)])


def _safe(name: str) -> str:
    """A file name for ``name``: models that were registered elsewhere may have any name."""
    if MODEL_NAME.fullmatch(name):
        return name
    return f"{quote(name, safe='')[:_LONGEST_NAME]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Answered:
    """Bodies of a request and of its answer."""

    outputs: str
    inputs: str | None
    """None: they are not asked for, or the log does not have them."""


def read_answers(
    root: Path,
    model_name: str,
    version: str,
    request_ids: Collection[str],
    *,
    since: datetime,
    max_bytes: int,
    with_inputs: bool = False,
) -> dict[str, Answered]:
    """Return the bodies of the answers to these requests that the payload log has, by request id.

    Args:
        root: the directory of all payload logs.
        model_name: the model.
        version: its version.
        request_ids: requests to look for.
        since: files of earlier days are not read.
        max_bytes: the newest files are read until they have so many bytes.
        with_inputs: read the bodies of the requests, too.
    """
    wanted = set(request_ids)
    found: dict[str, Answered] = {}
    if not wanted:
        return found
    columns = ["request_id", "status", "outputs", *(["inputs"] if with_inputs else [])]
    for rows in _newest_files(root, model_name, version, columns, since=since, max_bytes=max_bytes):
        for row in rows:
            if row["request_id"] in wanted and row["status"] == _OK and row["outputs"] is not None:
                found.setdefault(row["request_id"], Answered(row["outputs"], row.get("inputs")))
    return found


def read_exchanges(
    root: Path, model_name: str, version: str, *, since: datetime, until: datetime, max_bytes: int
) -> list[dict[str, Any]]:
    """Return answered requests from ``since`` until before ``until``, newest files first: request_id, time, inputs, outputs.

    The newest files are read until they have ``max_bytes``.
    """
    columns = ["request_id", "time", "status", "inputs", "outputs"]
    return [
        row
        for rows in _newest_files(root, model_name, version, columns, since=since, max_bytes=max_bytes)
        for row in rows
        if row["status"] == _OK and row["inputs"] is not None and since <= row["time"] < until
    ]


def _newest_files(
    root: Path, model_name: str, version: str, columns: Sequence[str], *, since: datetime, max_bytes: int
) -> Iterator[list[dict[str, Any]]]:
    # Imported here: only who looks at the quality of a version pays for it.
    from pyarrow import parquet

    first_day = f"date={since:%Y-%m-%d}"
    files = sorted(path for path in version_directory(root, model_name, version).glob(f"date=*/*{_SUFFIX}"))
    left = max_bytes
    read: Any = parquet.read_table  # pyright: ignore[reportUnknownMemberType]
    for path in reversed([path for path in files if path.parent.name >= first_day]):
        try:
            left -= path.stat().st_size
            if left < 0:
                break
            yield read(path, columns=list(columns), partitioning=None).to_pylist()
        except FileNotFoundError:
            continue  # Retention was first.

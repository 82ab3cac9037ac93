"""Makes the output of the finished parts. It appears whole, in one step, or not at all.

Each step may be repeated, so a batch that is killed here goes on.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet as pq

from raylift.domain.batches.batch import Format, is_file_name
from raylift.domain.batches.order import REJECTED_NAME, BatchOrder, output_name, rejected_path
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.parts import Part, Parts, sync
from serve_apps.batch.places import Place, place_of, require_within
from serve_apps.batch.plan import Plan, write_json
from serve_apps.batch.writers import fitted, unified

MANIFEST: Final = "_manifest.json"
_MARK: Final = "publishing.json"
_ROWS_AT_ONCE: Final = 1 << 18
_BYTES_AT_ONCE: Final = 1 << 26
_COPIED_AT_ONCE: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Target:
    """Place of an output, and of its parts until it is whole."""

    output: Place
    rejected: Place
    hidden: Place
    is_file: bool
    is_kept: bool = False
    """True where the platform keeps it."""


def target_of(order: BatchOrder, work: Path) -> Target:
    """Return the target of a batch.

    Raises:
        BatchFailed: The batch may not write there.
    """
    location = order.spec.output
    if location is None:
        kept = place_of(str(work / output_name(order.spec.output_format)))
        return Target(kept, kept.at(str(work / REJECTED_NAME)), kept.at(str(work / "parts")), is_file=True, is_kept=True)
    output = place_of(location.rstrip("/"))
    if output.is_local:
        require_within(str(Path(output.path).parent), order.writable, does="write", setting="jobs.writable_paths")
    folder, _, name = output.path.rpartition("/")
    hidden = output.at(f"{folder}/.{name}.raylift-{order.job_id}")
    return Target(output, output.at(rejected_path(output.path)), hidden, is_file=is_file_name(location))


def prepare(target: Target) -> None:
    """Make the hidden folder of the parts.

    Raises:
        BatchFailed: The output or its rejected rows exist already, or the folder cannot be written.
    """
    for place in (target.output, target.rejected):
        if place.exists():
            raise _exists(place)
    if target.output.is_local:
        _make_hidden(target)


def is_publishing(work: Path) -> bool:
    """Return True where an earlier attempt had scored all rows, and had begun to publish."""
    return (work / _MARK).exists()


def publish(order: BatchOrder, plan: Plan, target: Target, parts: Parts, work: Path) -> dict[str, Any]:
    """Make the output. Returns the result.

    Raises:
        BatchFailed: It exists already, there are no rows, or the types of its parts do not go together.
    """
    done = parts.finished_in_order(len(plan.items), anywhere=is_publishing(work))
    rows_in, rows_out = sum(part.rows_in for part in done), sum(part.rows_out for part in done)
    if rows_in == 0:
        raise BatchFailed(f"The input {order.spec.input or 'that was uploaded'} has no rows: nothing was written.")
    if not target.output.is_local and not is_publishing(work) and target.output.exists():
        raise _exists(target.output)  # S3 would replace what was made meanwhile.
    write_json(work / _MARK, {})
    rejected = sum(part.rejected for part in done)
    if rejected:
        _publish_rejected(target, parts, done)
    manifest = _manifest(order, plan, done)
    if not target.is_file:
        _publish_folder(target, parts, done, manifest)
    elif target.output.is_local:
        _publish_file(target, parts, done)
    else:
        _stream_file(target, parts, done)
    return {
        "output": None if target.is_kept else target.output.shown,
        "rejected_output": target.rejected.shown if rejected and not target.is_kept else None,
        "rows": rows_in,
        "rows_written": rows_out,
        "rejected": rejected,
        "files": len(plan.files),
    }


def clean(target: Target) -> None:
    """Remove the hidden folder. Safe to repeat."""
    if target.output.is_local:
        shutil.rmtree(target.hidden.path, ignore_errors=True)
    elif target.hidden.exists():
        target.hidden.files.delete_dir(target.hidden.path)


def _make_hidden(target: Target) -> None:
    hidden = Path(target.hidden.path)
    try:
        hidden.mkdir(mode=0o700, exist_ok=True)
        if not target.is_kept:
            # As open as the folder around it: a later attempt may be another user.
            with contextlib.suppress(PermissionError):
                hidden.chmod(hidden.parent.stat().st_mode & 0o777)
    except FileNotFoundError as error:
        raise BatchFailed(f"There is no folder {hidden.parent} for the output: make it first.") from error
    except OSError as error:
        raise BatchFailed(
            f"The output cannot be written in {hidden.parent}: {error.strerror}. Give other users the right to write there."
        ) from error


def _manifest(order: BatchOrder, plan: Plan, done: Sequence[Part]) -> dict[str, Any]:
    spec = order.spec
    return {
        "job_id": order.job_id,
        "model_name": spec.model_name,
        "model_version": spec.version,
        "alias": spec.alias,
        "scored_at": plan.started_at,
        "input": [{"path": file.path, "bytes": file.size} for file in plan.files],
        "parts": [{"name": part.name, "rows": part.rows_out, "bytes": part.size} for part in done],
        "rows": sum(part.rows_out for part in done),
        "rejected": sum(part.rejected for part in done),
    }


def _publish_rejected(target: Target, parts: Parts, done: Sequence[Part]) -> None:
    if not target.output.is_local:
        with target.rejected.files.open_output_stream(target.rejected.path) as written:
            _copy_rejected(parts, done, written)
        return
    draft = Path(target.hidden.path, f"{REJECTED_NAME}.tmp")
    if not draft.parent.is_dir():
        return  # The output is there: this was done before it.
    with draft.open("wb") as written:
        _copy_rejected(parts, done, written)
    sync(draft)
    draft.replace(target.rejected.path)


def _copy_rejected(parts: Parts, done: Sequence[Part], written: Any) -> None:
    for part in done:
        if part.rejected:
            with parts.rejected_file(part.number).open("rb") as file:
                shutil.copyfileobj(file, written)


def _publish_file(target: Target, parts: Parts, done: Sequence[Part]) -> None:
    draft, output = Path(target.hidden.path, "whole.tmp"), Path(target.output.path)
    single = Path(parts.place(done[0].number).path) if len(done) == 1 else None
    if output.exists():
        # An earlier attempt has published it, and was killed then; or somebody else has made a file of the name.
        if draft.exists() and draft.samefile(output):
            return
        raise _exists(target.output)
    if single is None:
        draft.unlink(missing_ok=True)
        with draft.open("wb") as sink:
            _merge(parts, done, sink)
        sync(draft)
    elif single.exists():
        single.replace(draft)
    try:
        output.hardlink_to(draft)  # Fails where the name was taken meanwhile.
    except FileExistsError:
        raise _exists(target.output) from None
    except OSError:
        # No hard links here, or the part is of an earlier attempt with another user.
        shutil.copyfile(draft, draft.with_name("copy.tmp"))
        draft.with_name("copy.tmp").replace(draft)
        draft.rename(output)


def _exists(place: Place) -> BatchFailed:
    return BatchFailed(f"The output {place.shown} exists already: remove it, or choose another.")


def _stream_file(target: Target, parts: Parts, done: Sequence[Part]) -> None:
    # S3 shows an object when its upload has ended.
    with target.output.files.open_output_stream(target.output.path) as sink:
        _merge(parts, done, sink)


def _publish_folder(target: Target, parts: Parts, done: Sequence[Part], manifest: dict[str, Any]) -> None:
    content = json.dumps(manifest, indent=1).encode()
    if target.output.is_local:
        if _is_own(target, manifest):
            return
        Path(target.hidden.path, MANIFEST).write_bytes(content)
        try:
            Path(target.hidden.path).rename(target.output.path)
        except OSError as error:
            raise _exists(target.output) from error
        return
    for part in done:
        source, moved = parts.place(part.number), target.output.at(f"{target.output.path}/{part.name}")
        if source.exists():
            moved.files.move(source.path, moved.path)
    with target.output.files.open_output_stream(f"{target.output.path}/{MANIFEST}") as sink:
        sink.write(content)


def _is_own(target: Target, manifest: dict[str, Any]) -> bool:
    try:
        found = json.loads(Path(target.output.path, MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return found.get("job_id") == manifest["job_id"]


def _merge(parts: Parts, done: Sequence[Part], sink: Any) -> None:
    """Write all parts to one file."""
    match parts.form:
        case Format.PARQUET:
            _merge_parquet(parts, done, sink)
        case Format.CSV:
            _merge_csv(parts, done, sink)
        case Format.JSONL:
            for part in done:
                with parts.open(part.number) as file:
                    shutil.copyfileobj(file, sink, _COPIED_AT_ONCE)


def _merge_csv(parts: Parts, done: Sequence[Part], sink: Any) -> None:
    header: bytes | None = None
    for part in done:
        if part.rows_out == 0:
            continue
        with parts.open(part.number) as file:
            first = file.readline()
            if header is not None and first != header:
                raise BatchFailed("The files have different columns, which one CSV cannot hold: write Parquet, or a folder.")
            if header is None:
                sink.write(first)
            header = first
            shutil.copyfileobj(file, sink, _COPIED_AT_ONCE)


def _merge_parquet(parts: Parts, done: Sequence[Part], sink: Any) -> None:
    schema = pa.schema([])
    for part in done:
        with parts.open_parquet(part.number) as file:
            schema = unified(schema, pq.read_schema(file))
    with pq.ParquetWriter(sink, schema) as writer:
        for part in done:
            with parts.open_parquet(part.number) as file:
                for table in _tables(pq.ParquetFile(file)):
                    writer.write_table(fitted(table, schema))


def _tables(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield the rows in tables that make good row groups."""
    batches: list[pa.RecordBatch] = []
    for batch in file.iter_batches():
        batches.append(batch)
        if sum(each.num_rows for each in batches) >= _ROWS_AT_ONCE or sum(each.nbytes for each in batches) >= _BYTES_AT_ONCE:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)

"""``python table_profile.py``: describes the tables in files, as JSON. Its input is JSON: pairs of a name and a path.

It runs in a confined process of its own with limits, since files of users are parsed here. The cost is bounded: all rows are
counted as long as that is quick, and statistics are of the first rows.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute
from pyarrow import csv, parquet
from pyarrow import json as jsonl

pc: Any = pyarrow.compute
"""Its functions are made at its import, so type checkers do not know them."""

_FORMATS: Final = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PROFILED_ROWS: Final = 100_000
_BATCH_ROWS: Final = 16_384
_MAX_COLUMNS: Final = 500
_COUNTING_SECONDS: Final = 15.0
_CPU_SECONDS: Final = 40
_MEMORY_BYTES: Final = 6 * 2**30
"""Limit of the address space: libraries reserve more than they use."""
_TOP: Final = 5
_LONGEST_VALUE: Final = 80
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def format_of(names: list[str]) -> tuple[str | None, str | None]:
    """Return the one format of files, or None and a sentence."""
    shown = [name for name in names if not name.rpartition("/")[2].startswith(("_", "."))]
    formats = {_FORMATS.get(f".{name.rpartition('.')[2].lower()}") for name in shown}
    if len(formats) == 1 and None not in formats:
        return formats.pop(), None
    if formats == {None} or not formats:
        return None, "No Parquet, CSV or JSON lines, so there is no schema."
    return None, "Files of several formats, so there is no schema."


def profile(files: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields of ``raylift.domain.datasets.dataset.Profile``."""
    kind, note = format_of([name for name, _ in files])
    if kind is None:
        return {"note": note}
    tables = [(name, path) for name, path in files if not name.rpartition("/")[2].startswith(("_", "."))]
    try:
        schema, sample, rows, note = _read(kind, tables)
        return {
            "format": kind,
            "rows": rows,
            "profiled_rows": sample.num_rows,
            "columns": [_column(field, sample.column(index)) for index, field in enumerate(schema) if index < _MAX_COLUMNS],
            "note": note if len(schema) <= _MAX_COLUMNS else f"The first {_MAX_COLUMNS} of {len(schema)} columns.",
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        return {"format": kind, "note": f"A file cannot be read as {kind}: {said[:300]}"}


def _read(kind: str, files: list[tuple[str, str]]) -> tuple[pa.Schema, pa.Table, int | None, str | None]:
    """Return schema, first rows, the number of all rows, and a sentence on what is missing."""
    schema: pa.Schema | None = None
    kept: list[pa.RecordBatch] = []
    total, has, deadline = 0, 0, time.monotonic() + _COUNTING_SECONDS
    for name, path in files:
        for batch in _batches(kind, path):
            if schema is None:
                schema = batch.schema.remove_metadata()
            elif not batch.schema.remove_metadata().equals(schema):
                sample = pa.Table.from_batches(kept, schema)
                return schema, sample, None, f"The columns of {name} differ from those of the first file."
            total += batch.num_rows
            if has < _PROFILED_ROWS:
                kept.append(batch.slice(0, _PROFILED_ROWS - has).replace_schema_metadata(None))
                has += kept[-1].num_rows
            elif kind == "parquet":
                break  # The rest is counted by the footers.
            elif time.monotonic() > deadline:
                return schema, pa.Table.from_batches(kept, schema), None, "The rows are too many to count them quickly."
    assert schema is not None  # noqa: S101 - each file gives one batch at least
    if kind == "parquet":
        total = sum(parquet.read_metadata(path).num_rows for _, path in files)
    return schema, pa.Table.from_batches(kept, schema), total, None


def _batches(kind: str, path: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file, at least one."""
    match kind:
        case "parquet":
            file = parquet.ParquetFile(path)
            yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
            yield from file.iter_batches(_BATCH_ROWS)
        case "csv":
            reader = csv.open_csv(path)
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield from reader
        case _:
            reader = jsonl.open_json(path)
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield from reader


def _column(field: pa.Field, values: pa.ChunkedArray) -> dict[str, Any]:
    described: dict[str, Any] = {"name": field.name, "type": str(field.type), "missing": values.null_count}
    kind = field.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        described["missing"] += pc.sum(pc.is_nan(values)).as_py() or 0
        values = values.filter(pc.is_finite(values))
    values = values.drop_null()
    if len(values) == 0:
        return described
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return described | _numbers(values)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        limits = pc.min_max(values).as_py()
        return described | {name: str(limits[name]) for name in ("min", "max")}
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return described | _frequent(values)
    return described


def _numbers(values: pa.ChunkedArray) -> dict[str, Any]:
    floats = values.cast(pa.float64(), safe=False)
    limits = pc.min_max(floats).as_py()
    found = pc.quantile(floats, q=list(_QUANTILES)).to_pylist()
    quantiles = {str(share): _finite(value) for share, value in zip(_QUANTILES, found, strict=True)}
    mean = _finite(pc.mean(floats).as_py())
    return {"min": _finite(limits["min"]), "max": _finite(limits["max"]), "mean": mean, "quantiles": quantiles}


def _frequent(values: pa.ChunkedArray) -> dict[str, Any]:
    counts = pc.value_counts(values)
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])[:_TOP]
    top = [(str(each["values"])[:_LONGEST_VALUE], each["counts"]) for each in counts.take(order).to_pylist()]
    return {"distinct": len(counts), "top": [{"value": value, "count": count} for value, count in top]}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    json.dump(profile([(name, path) for name, path in json.load(sys.stdin)]), sys.stdout)

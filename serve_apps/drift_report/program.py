"""Compares the requests of a version with a reference by Evidently, and writes the report as HTML and JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from raylift.domain.models.payload_rows import input_columns
from raylift.domain.models.quality import predictions_of
from raylift.domain.monitoring.report import CURRENT_FILE, ORDER_FILE, PREDICTION, REFERENCE_FILE, TRUE_VALUE

_MOST_ROWS: Final = 50_000
_MOST_VALUES: Final = 1_000
"""A column of text with more values is left out."""
_READERS: Final[Mapping[str, Any]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": partial(pd.read_json, lines=True),
}


class ReportImpossible(Exception):
    """There is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Made:
    """Summary of a report."""

    rows: int
    reference_rows: int
    columns: int
    drifted: int
    left_out: Sequence[str]


def make(folder: Path, data: Path | None, into: Path) -> Made:
    """Write ``report.html`` and ``report.json``.

    Args:
        folder: Has the order and the requests.
        data: Folder of the reference's dataset. None: the reference are requests, too.
        into: Folder of the report.

    Raises:
        ReportImpossible: there are too few rows, or no columns in common.
    """
    names = json.loads((folder / ORDER_FILE).read_text(encoding="utf-8"))["columns"]
    current = requests_frame(folder / CURRENT_FILE, names)
    reference = requests_frame(folder / REFERENCE_FILE, names) if data is None else dataset_frame(data)
    current, reference, left_out = comparable(current, reference)
    into.mkdir(parents=True, exist_ok=True)
    drifted = _evidently(current, reference, into)
    return Made(len(current), len(reference), len(current.columns), drifted, left_out)


def requests_frame(file: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of logged requests, with their predictions and true values. Requests without a table are left out."""
    tables: list[pd.DataFrame] = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            found = json.loads(line)
            with suppress(ValueError):  # a body that is no JSON
                table = _table(json.loads(found["inputs"]), found["outputs"], found["true_value"], names)
                if table is not None:
                    tables.append(table)
    return pd.concat(tables, ignore_index=True).head(_MOST_ROWS) if tables else pd.DataFrame()


def dataset_frame(folder: Path) -> pd.DataFrame:
    """Return the rows of a dataset's files: Parquet, CSV or JSON lines. Other files are left out."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _READERS) if folder.is_dir() else [folder]
    frames = [_READERS[path.suffix](path) for path in files if path.suffix in _READERS]
    if not frames:
        raise ReportImpossible(f"the reference has no file that ends with {', '.join(_READERS)}")
    table: Any = pd.concat(frames, ignore_index=True)
    return table if len(table) <= _MOST_ROWS else table.sample(_MOST_ROWS, random_state=0)


def comparable(current: pd.DataFrame, reference: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Sequence[str]]:
    """Return both tables with the columns that can be compared, and the names of the others.

    A column is a number in both tables or a category in both.

    Raises:
        ReportImpossible: nothing can be compared.
    """
    for table, what in ((current, "the requests of this time"), (reference, "the reference")):
        if table.empty:
            raise ReportImpossible(f"{what}: there are no rows of a table")
    current, reference = (table.rename(columns=str) for table in (current, reference))
    kept: dict[str, tuple[Any, Any]] = {}
    every = list(dict.fromkeys([*current.columns, *reference.columns]))
    for name in every:
        if name in current.columns and name in reference.columns:
            pair = _comparable_column(current[name], reference[name])
            if pair is not None:
                kept[name] = pair
    if not kept:
        raise ReportImpossible(
            f"the requests have the columns {', '.join(map(str, current.columns))}, and the reference has none of them "
            "with values that can be compared"
        )
    frames = [pd.DataFrame({name: pair[place] for name, pair in kept.items()}) for place in (0, 1)]
    return frames[0], frames[1], [name for name in every if name not in kept]


def _comparable_column(now: Any, before: Any) -> tuple[Any, Any] | None:
    if now.isna().all() or before.isna().all():
        return None
    if all(pd.api.types.is_numeric_dtype(one.dtype) and not pd.api.types.is_bool_dtype(one.dtype) for one in (now, before)):
        return now.astype("float64"), before.astype("float64")
    words = [one.map(str, na_action="ignore").astype(object) for one in (now, before)]
    values: Any = pd.concat(words)
    return None if values.nunique() > _MOST_VALUES else (words[0], words[1])


def _table(inputs: Any, outputs: str | None, truth: Any, names: Sequence[str]) -> pd.DataFrame | None:
    columns = input_columns(inputs, names)
    if columns is None:
        return None
    table = pd.DataFrame(dict(columns))
    predicted = [] if outputs is None else predictions_of(json.loads(outputs))
    true: Any = truth if isinstance(truth, list) else [truth]
    for name, values in ((PREDICTION, predicted), (TRUE_VALUE, true)):
        if len(values) == len(table) and name not in table.columns and _are_plain(values):
            table[name] = values
    return table


def _are_plain(values: Iterable[Any]) -> bool:
    return all(value is None or isinstance(value, str | int | float) for value in values)


def _evidently(current: pd.DataFrame, reference: pd.DataFrame, into: Path) -> int:
    """Write the report; return the number of columns with drift."""
    # Imported here: the environments of the platform and of tests do not have it.
    import evidently  # pyright: ignore[reportMissingImports]
    from evidently.presets import DataDriftPreset, DataSummaryPreset  # pyright: ignore[reportMissingImports]

    library: Any = evidently
    numbers = [str(name) for name in current.columns if pd.api.types.is_numeric_dtype(current[name].dtype)]
    categories = [str(name) for name in current.columns if name not in numbers]
    definition = library.DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    tables = [library.Dataset.from_pandas(table, data_definition=definition) for table in (current, reference)]
    presets: list[Any] = [DataDriftPreset(), DataSummaryPreset()]
    made: Any = library.Report(presets).run(current_data=tables[0], reference_data=tables[1])
    made.save_html(str(into / "report.html"))
    made.save_json(str(into / "report.json"))
    return drifted_columns(json.loads((into / "report.json").read_text(encoding="utf-8")))


def drifted_columns(report: Mapping[str, Any]) -> int:
    """Return the number of columns with drift of a report in JSON."""
    for metric in report["metrics"]:
        match metric:
            case {"metric_name": str(name), "value": {"count": count}} if name.startswith("DriftedColumnsCount"):
                return int(count)
            case _:
                continue
    raise ValueError("the report of Evidently has no count of columns with drift")

"""Checks a fast path of several column types on generated records, against the library.

The records have known and unknown categories, missing values if the schema allows them, and numbers near the thresholds of the
model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from serve_apps.model_server.inputs.column_reader import ColumnReader, ColumnValues, Numbers
from serve_apps.model_server.inputs.tabular import from_records
from serve_apps.model_server.loading.column_tables import UNKNOWN
from serve_apps.model_server.model import Model, PredictionRequest
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath

RECORDS: Final = 160
_SIZES: Final = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64)
_SINGLE: Final = 8
_SECONDS: Final = 0.2
"""Time limit of the library's predictions for the smaller groups; the first few are always made."""
_LISTED: Final = 200
"""Limit of a column's known values and thresholds."""

Record = Mapping[str, Any]


def difference(model: Model, reader: ColumnReader, path: FastPath) -> str | None:
    """Describe the first difference between the fast path and the library; None if there is none."""
    records = [record for record in records_for(reader, path) if reader.read([record]) is not None]
    deadline = time.monotonic() + _SECONDS
    wants_probabilities = model.classes is not None
    for index, group in enumerate(_groups(records)):
        if index > _SINGLE and time.monotonic() > deadline:
            break
        rows = reader.read(list(group))
        if rows is None:
            return f"the reader accepts {len(group)} records one by one but not together"
        output = model.compute(rows)
        request = PredictionRequest(model.schema.batch(from_records(group)), probabilities=wants_probabilities)
        if not output.equals(model.predict_raw(request)):
            return f"the fast path differs on {len(group)} records"
    return None if records else "the fast path accepts none of the generated records"


def _groups(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    if records:
        yield records
        yield records[:1]
        yield records[1:4]
    for index in range(min(_SINGLE, len(records))):
        yield records[-1 - index :][:1]
    start = 0
    for size in _SIZES:
        if group := records[start : start + size]:
            yield group
        start += size


def records_for(reader: ColumnReader, path: FastPath) -> list[Record]:
    """Records of mixed values that each column may have."""
    random = np.random.default_rng(0)
    values = [_Column(reader, path, index, random).samples(RECORDS) for index in range(reader.width)]
    return [dict(zip(reader.names, row, strict=True)) for row in zip(*values, strict=True)]


@dataclass
class _Column:
    """Generates the values of a column."""

    reader: ColumnReader
    path: FastPath
    index: int
    random: np.random.Generator

    def samples(self, count: int) -> list[Any]:
        column = self.reader.columns[self.index]
        known, numbers = self._known(), self._numbers(column)
        # Every known value of an encoder up to the limit, then numbers near thresholds, then both at random.
        values = [value for value in [*known, *numbers] if column.has([value])] or [self.reader.example[column.name]]
        order = self.random.permutation(len(values)).tolist()
        samples = [values[order[index % len(values)]] for index in range(count)]
        if type(None) in column.types:
            for index in self.random.choice(count, max(1, count // 12), replace=False).tolist():
                samples[index] = None
        return samples

    def _known(self) -> list[Any]:
        lookups = [lookup for lookup in self.reader.lookups if lookup.column == self.index]
        known = [value for lookup in lookups for value in lookup.places if value is not None]
        column = self.reader.columns[self.index]
        if str in column.types:
            known += [UNKNOWN, "", " ", "nan", "None"]
        if bool in column.types:
            known += [True, False]
        return known[:_LISTED]

    def _numbers(self, column: ColumnValues) -> list[Any]:
        if not column.is_number:
            return []
        landmarks = [value for block in self.reader.numbers for value in self._landmarks(block)] or [0.0, 1.0]
        spread = float(np.std(landmarks)) or 1.0
        middle = float(np.median(landmarks))
        around = [near for value in landmarks[:_LISTED] for near in _near(value)]
        samples = self.random.normal(middle, 2 * spread, 2 * len(around)).tolist()
        edges = [0.0, -0.0, 1.0, -1.0, 5e-324, -1e-310, 1e-40, 1e30, -1e38, 2.0**24 + 1, math.pi]
        if float not in column.types:
            return [int(value) for value in [*around, *samples, *edges] if abs(value) < 2**53]
        return [*around, *samples, *edges, *range(-3, 4), 2**24 + 1, 2**53]

    def _landmarks(self, block: Numbers) -> list[float]:
        """Values of this column for which a block's outputs have the model's thresholds."""
        columns = np.arange(len(self.reader.number_columns))[block.columns]
        places = [place for place, column in enumerate(columns) if self.reader.number_columns[column] == self.index]
        landmarks: list[float] = []
        for place in places:
            # Scalers are linear: two points determine one. The third, missing, gives the imputer's value.
            points = np.zeros((3, len(columns)))
            points[1], points[2] = 1.0, np.nan
            for step in block.steps:
                step(points)
            zero, one, missing = points[:, place].tolist()
            output = block.outputs.start + place
            wanted = [value for feature, value in self.path.landmarks if feature == output]
            wanted += [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0] if block.steps else []
            wanted += [missing] if math.isfinite(missing) else []
            slope = one - zero or 1.0
            landmarks += [(value - zero) / slope for value in wanted if math.isfinite(value)]
        return landmarks


def _near(value: float) -> tuple[float, ...]:
    return value, float(np.nextafter(value, math.inf)), float(np.nextafter(value, -math.inf))

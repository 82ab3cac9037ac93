"""Counts the values of sampled requests by the bins of a reference profile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from job_entrypoints.value_words import word_of
from raylift.domain.monitoring.reference import (
    ANSWERS,
    ColumnKind,
    Reference,
    ReferenceColumn,
    counter_names,
    prefix_of,
    segment_key,
    segments_of,
    sketched_name,
)

Values = Sequence[Any] | NDArray[Any] | pd.Series
Columns = Mapping[str, Values]
"""Values of the rows of several requests, by the name of the column."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows of a request."""

    inputs: NDArray[Any] | pd.DataFrame | Sequence[Sequence[Any]]
    """An array or a frame; or lists of the values of each column."""
    answers: Values | None


class SketchCounters:
    """The counters of a sketch: their names, and what adds to them."""

    def __init__(self, reference: Reference, segment_column: str | None = None) -> None:
        self._segments = segments_of(reference, segment_column)
        self._segment_column = segment_column
        self.names = counter_names(reference, self._segments)
        self._index = {name: place for place, name in enumerate(self.names)}
        self._parts = [(str(place), column, _counter(column)) for place, column in enumerate(reference.columns)]
        self._answers = reference.answers and (reference.answers, _counter(reference.answers))

    def place(self, name: str) -> int:
        return self._index[name]

    def add(self, columns: Columns, answers: Values | None, rows: int, into: memoryview[float]) -> None:
        """Count rows. A column that is not in ``columns`` is left out."""
        everything = np.ones(rows, dtype=bool)
        self._add("", everything, columns, answers, into)
        by = self._segment_column
        if self._segments and by is not None and by in columns:
            words = np.array([segment_key(by, word) for word in words_of(columns[by])])
            for segment in self._segments:
                if (chosen := words == segment).any():
                    self._add(segment, chosen, columns, answers, into)

    def _add(
        self, segment: str, chosen: NDArray[np.bool_], columns: Columns, answers: Values | None, into: memoryview[float]
    ) -> None:
        into[self._index[sketched_name(segment)]] += int(chosen.sum())
        for part, column, count in self._parts:
            if (values := columns.get(column.name)) is not None:
                self._write(prefix_of(segment, part), column, count(_chosen(values, chosen)), into)
        if self._answers is not None and answers is not None and len(answers) == len(chosen):
            column, count = self._answers
            self._write(prefix_of(segment, ANSWERS), column, count(_chosen(answers, chosen)), into)

    def _write(
        self, prefix: str, column: ReferenceColumn, counts: Sequence[int] | NDArray[Any], into: memoryview[float]
    ) -> None:
        # The counters of a column follow each other.
        start = self._index[prefix + column.counters[0]]
        for place, count in enumerate(counts):
            if count:
                into[start + place] += float(count)


def tables_of(sampled: Iterable[Sampled], names: Sequence[str] | None) -> Iterable[tuple[Columns, Values | None, int]]:
    """Join requests of the same form: one table of many rows is counted as quickly as one of a single row.

    Args:
        sampled: Rows of several requests.
        names: Names of the columns of arrays and lists; None: their positions.
    """
    groups: defaultdict[tuple[str, bool], list[Sampled]] = defaultdict(list)
    for one in sampled:
        form = "array" if isinstance(one.inputs, np.ndarray) else "frame" if isinstance(one.inputs, pd.DataFrame) else "lists"
        groups[form, one.answers is None].append(one)
    for (form, has_no_answers), group in groups.items():
        columns = _JOINED[form]([one.inputs for one in group], names)
        answers: list[Any] | None = None
        if not has_no_answers:
            answers = [value for one in group for value in (one.answers if one.answers is not None else ())]
        yield columns, answers, len(next(iter(columns.values()), ()))


def words_of(values: Values) -> list[str]:
    """Return values as the profile names them; "" for missing ones."""
    listed = values.tolist() if isinstance(values, (np.ndarray, pd.Series)) else values
    return ["" if _is_missing(value) else word_of(value) for value in listed]


def _join_arrays(arrays: Sequence[NDArray[Any]], names: Sequence[str] | None) -> Columns:
    table = np.concatenate(arrays)
    labels = names if names is not None else [str(place) for place in range(table.shape[1])]
    return {name: table[:, place] for place, name in enumerate(labels)}


def _join_frames(frames: Sequence[pd.DataFrame], _: Sequence[str] | None) -> Columns:
    table = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    return {str(label): table.iloc[:, place] for place, label in enumerate(table.columns)}


def _join_lists(tables: Sequence[Sequence[Sequence[Any]]], names: Sequence[str] | None) -> Columns:
    joined = [[value for table in tables for value in table[place]] for place in range(len(tables[0]))]
    labels = names if names is not None else [str(place) for place in range(len(joined))]
    return dict(zip(labels, joined, strict=True))


_JOINED: Final[Mapping[str, Callable[..., Columns]]] = {"array": _join_arrays, "frame": _join_frames, "lists": _join_lists}


def _counter(column: ReferenceColumn) -> Callable[[Values], Sequence[int] | NDArray[Any]]:
    match column.kind:
        case ColumnKind.NUMBER:
            return _number_counter(column)
        case ColumnKind.CATEGORY:
            return _category_counter(column)
        case ColumnKind.OTHER:
            return lambda values: [sum(map(_is_missing, _listed(values)))]


def _number_counter(column: ReferenceColumn) -> Callable[[Values], NDArray[Any]]:
    edges = np.array(column.edges, dtype=np.float64)

    def count(values: Values) -> NDArray[Any]:
        numbers, wrong = _numbers(values)
        known = numbers[~np.isnan(numbers)]
        first = [len(numbers) - len(known), wrong, (known < column.low).sum(), (known > column.high).sum()]
        return np.concatenate((first, np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)))

    return count


def _category_counter(column: ReferenceColumn) -> Callable[[Values], Sequence[int]]:
    missing, unseen, first = 0, 1, 2
    other = first + len(column.values)
    places = {value: first + place for place, value in enumerate(column.values)} | dict.fromkeys(column.others, other)

    def count(values: Values) -> Sequence[int]:
        counts = [0] * (other + 1)
        for value in _listed(values):
            counts[missing if _is_missing(value) else places.get(word_of(value), unseen)] += 1
        return counts

    return count


def _numbers(values: Values) -> tuple[NDArray[np.float64], int]:
    """Return values as numbers, and how many are none."""
    try:
        if isinstance(values, pd.Series):
            return values.to_numpy(dtype=np.float64, na_value=np.nan), 0
        return np.asarray(values, dtype=np.float64), 0
    except (ValueError, TypeError):
        found = [np.nan if _is_missing(value) else value for value in _listed(values)]
        numbers = [float(value) for value in found if isinstance(value, (bool, int, float))]
        return np.array(numbers, dtype=np.float64), len(found) - len(numbers)


def _chosen(values: Values, chosen: NDArray[np.bool_]) -> Values:
    if chosen.all():
        return values
    if isinstance(values, (np.ndarray, pd.Series)):
        return values[chosen]
    return [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]


def _listed(values: Values) -> Sequence[Any]:
    return values.tolist() if isinstance(values, (np.ndarray, pd.Series)) else values


def _is_missing(value: Any) -> bool:
    # NaN and NaT are not equal to themselves; NA is not comparable.
    return value is None or value is pd.NA or bool(value != value)

"""The reference profile of a version, as the job's hooks wrote it, and the counters that a sketch compares with it.

A sketch is a set of counters (docs/adr/0019): sketches of several processes are added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

SEEN: Final = "rows.seen"
"""Rows that the version answered."""
SKETCHED: Final = "rows.sketched"
"""Rows of these that are in the sketch. Also counted for each segment."""
ANSWERS: Final = "answers"
"""Name of the answers' part of a sketch."""
MOST_SEGMENTS: Final = 5
_MOST_COLUMNS: Final = 100
_MOST_BINS: Final = 31


class ColumnKind(StrEnum):
    NUMBER = "number"
    CATEGORY = "category"
    OTHER = "other"
    """Free text, times and the like: only missing values are counted."""


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """A column of the training table, or the target."""

    name: str
    kind: ColumnKind
    rows: int
    """Rows of the sample that the profile was made of."""
    missing: int
    counts: tuple[int, ...] = ()
    """Rows in each bin of a number; or of each of ``values``, and of all other values together."""
    edges: tuple[float, ...] = ()
    """Upper bounds of the bins, without the last one's."""
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Values of the training that are not counted one by one."""

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the column's counters in a sketch."""
        bins = tuple(f"bin.{place}" for place in range(len(self.counts)))
        match self.kind:
            case ColumnKind.NUMBER:
                return ("missing", "unseen", "below", "above", *bins)
            case ColumnKind.CATEGORY:
                return ("missing", "unseen", *bins)
            case ColumnKind.OTHER:
                return ("missing",)


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference profile of a version."""

    rows: int
    """Rows of the training table."""
    columns: tuple[ReferenceColumn, ...]
    answers: ReferenceColumn | None = None
    """The target of the training: its bins are those of the answers."""

    def column(self, name: str) -> ReferenceColumn | None:
        return next((column for column in self.columns if column.name == name), None)


def parse_reference(profile: Mapping[str, Any]) -> Reference:
    """Parse the content of a profile's file. A training script may have written anything there.

    Raises:
        ValueError: it is no profile.
    """
    try:
        columns = tuple(_column(entry) for entry in profile["columns"])
        answers = profile.get("answers")
        reference = Reference(int(profile["rows"]), columns, None if answers is None else _column(answers))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"the reference profile is not readable: {error!r}") from error
    if len(columns) > _MOST_COLUMNS:
        raise ValueError(f"the reference profile has more than {_MOST_COLUMNS} columns")
    if len({column.name for column in columns}) < len(columns):
        raise ValueError("the reference profile has two columns of one name")
    return reference


def counter_names(reference: Reference, segments: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of all counters of a sketch."""
    return (SEEN, *(name for segment in ("", *segments) for name in _names(reference, segment)))


def segment_key(column: str, value: str) -> str:
    """Return the name of a segment: the rows with this value in the column."""
    return f"{column}={value}"


def segments_of(reference: Reference, column: str | None) -> tuple[str, ...]:
    """Return the segments by a column: its most frequent values."""
    found = None if column is None else reference.column(column)
    if found is None or found.kind is not ColumnKind.CATEGORY:
        return ()
    return tuple(segment_key(found.name, value) for value in found.values[:MOST_SEGMENTS])


def prefix_of(segment: str, part: str) -> str:
    """Return what the names of the counters of a column, or of the answers, begin with; ``segment`` is "" for all rows."""
    return f"{segment}|{part}|"


def sketched_name(segment: str) -> str:
    return f"{segment}|{SKETCHED}"


def _names(reference: Reference, segment: str) -> Iterator[str]:
    yield sketched_name(segment)
    parts = [(str(place), column) for place, column in enumerate(reference.columns)]
    if reference.answers is not None:
        parts.append((ANSWERS, reference.answers))
    for part, column in parts:
        prefix = prefix_of(segment, part)
        for counter in column.counters:
            yield prefix + counter


def _column(entry: Mapping[str, Any]) -> ReferenceColumn:
    column = ReferenceColumn(
        name=str(entry["name"]),
        kind=ColumnKind(entry["kind"]),
        rows=int(entry["rows"]),
        missing=int(entry["missing"]),
        counts=tuple(int(count) for count in entry.get("counts", ())),
        edges=tuple(float(edge) for edge in entry.get("edges", ())),
        low=float(entry.get("low", 0.0)),
        high=float(entry.get("high", 0.0)),
        values=tuple(str(value) for value in entry.get("values", ())),
        others=tuple(str(value) for value in entry.get("others", ())),
    )
    bins = {ColumnKind.NUMBER: len(column.edges) + 1, ColumnKind.CATEGORY: len(column.values) + 1, ColumnKind.OTHER: 0}
    fits = len(column.counts) == bins[column.kind] <= _MOST_BINS and all(one < other for one, other in pairwise(column.edges))
    if not fits or not all(map(math.isfinite, (*column.edges, column.low, column.high))):
        raise ValueError(f"the reference profile of {column.name!r} does not fit together")
    return column

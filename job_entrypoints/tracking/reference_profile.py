"""Makes the reference profile of a training table: what the columns and the target looked like, for watching the model later.

A profile has histograms of numbers, and counts of frequent values. It is made of a sample of the rows, within a budget of
time. It lies beside the model as a file (docs/adr/0050).
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from job_entrypoints.value_words import word_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEAST_ROWS = 50
"""A shorter table says too little."""
SAMPLE_ROWS = 5_000
MOST_COLUMNS = 100
BINS = 10
TOP_VALUES = 30
"""Values that are counted one by one; the others are counted together."""
KNOWN_VALUES = 1_000
"""A column with more values is free text: only its missing values are counted."""
LONGEST_VALUE = 100
FREE_SECONDS = 1.0
SHARE_OF_TIME = 0.02
"""Profiles may take so much of the script's time beyond ``FREE_SECONDS``."""

_started = time.monotonic()
_spent = 0.0


def has_time() -> bool:
    """Tell whether the budget of this process has time for another profile."""
    return _spent <= FREE_SECONDS + SHARE_OF_TIME * (time.monotonic() - _started)


def profile_of(data: Any, target: Any = None) -> dict[str, Any] | None:
    """Return the profile of a frame or a two-dimensional array, and of its target; None where there is none.

    Never raises: a script must not fail for it.
    """
    global _spent
    began = time.monotonic()
    try:
        return _profile(data, target)
    except Exception as error:  # noqa: BLE001 - the user's own data, which trains all the same
        print(f"[raylift] no reference profile of the training data: {error!r}", file=sys.stderr)  # noqa: T201
        return None
    finally:
        _spent += time.monotonic() - began


def _profile(data: Any, target: Any) -> dict[str, Any] | None:
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    is_frame = pandas is not None and isinstance(data, pandas.DataFrame)
    if numpy is None or not (is_frame or isinstance(data, numpy.ndarray)) or data.ndim != 2 or len(data) < LEAST_ROWS:
        return None
    places = slice(None)
    if len(data) > SAMPLE_ROWS:
        # A generator of its own: the script's random numbers stay the same.
        places = numpy.sort(numpy.random.default_rng(0).choice(len(data), SAMPLE_ROWS, replace=False))
    names = list(data.columns[:MOST_COLUMNS]) if is_frame else list(range(min(data.shape[1], MOST_COLUMNS)))
    columns: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        values = data.iloc[:, index].iloc[places] if is_frame else data[places, index]
        columns.append({"name": str(name), **_column(values, numpy)})
    return {
        "version": 1,
        "rows": len(data),
        "sampled": min(len(data), SAMPLE_ROWS),
        "columns_of_table": int(data.shape[1]),
        "columns": columns,
        "answers": _target(target, len(data), places, numpy),
    }


def _target(target: Any, rows: int, places: Any, numpy: Any) -> dict[str, Any] | None:
    if target is None or isinstance(target, str):
        return None
    if hasattr(target, "iloc"):
        values = target if target.ndim == 1 else target.iloc[:, 0] if target.shape[1] == 1 else None
    else:
        array = numpy.asarray(target)
        values = array if array.ndim == 1 else array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else None
    if values is None or len(values) != rows:
        return None
    column = _column(values.iloc[places] if hasattr(values, "iloc") else values[places], numpy)
    return None if column["kind"] == "other" else {"name": "answer", **column}


def _column(values: Any, numpy: Any) -> dict[str, Any]:
    """Describe a pandas Series or a one-dimensional array."""
    is_series = hasattr(values, "isna")
    kind = str(getattr(values.dtype, "kind", "O"))
    if kind in "biuf":
        missing = values.isna().to_numpy(dtype=bool) if is_series else numpy.isnan(values)
        numbers = values[~missing].to_numpy(dtype="float64") if is_series else values[~missing].astype("float64")
        return {"missing": int(missing.sum()), "rows": len(values), **_numbers(numbers, numpy)}
    known: list[Any] = values[~values.isna()].tolist() if is_series else _known(values.tolist())
    column = {"missing": len(values) - len(known), "rows": len(values)}
    return column | ({"kind": "other"} if kind in "mMc" or not known else _categories(known))


def _known(values: list[Any]) -> list[Any]:
    # NaN is not equal to itself.
    return [value for value in values if value is not None and value == value]


def _numbers(values: Any, numpy: Any) -> dict[str, Any]:
    values = values[numpy.isfinite(values)]
    if not len(values):
        return {"kind": "other"}
    found = numpy.unique(values)
    if len(found) <= BINS:
        edges = (found[:-1] + found[1:]) / 2
    else:
        edges = numpy.unique(numpy.quantile(values, numpy.linspace(0, 1, BINS + 1)[1:-1]))
    counts = numpy.bincount(numpy.searchsorted(edges, values), minlength=len(edges) + 1)
    return {
        "kind": "number",
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "low": float(found[0]),
        "high": float(found[-1]),
    }


def _categories(known: list[Any]) -> dict[str, Any]:
    if not all(isinstance(value, (str, bool, int, float)) for value in known):
        return {"kind": "other"}
    counts = Counter(map(word_of, known))
    is_text = len(counts) > KNOWN_VALUES or (len(known) >= LEAST_ROWS and 2 * len(counts) > len(known))
    if is_text or any(len(word) > LONGEST_VALUE for word in counts):
        return {"kind": "other"}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    top, others = ordered[:TOP_VALUES], ordered[TOP_VALUES:]
    return {
        "kind": "category",
        "values": [word for word, _ in top],
        "counts": [*(count for _, count in top), sum(count for _, count in others)],
        "others": [word for word, _ in others],
    }

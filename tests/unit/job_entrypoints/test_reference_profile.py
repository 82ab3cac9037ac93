"""Reference profiles of frames and arrays: bounded, readable by the platform, and never in the way of a script."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from job_entrypoints.tracking import reference_profile
from job_entrypoints.tracking.reference_profile import profile_of
from raylift.domain.monitoring.reference import ColumnKind, Reference, parse_reference


@pytest.fixture(autouse=True)
def fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_profile, "_spent", 0.0)


def reference(data: Any, target: Any = None) -> Reference:
    profile = profile_of(data, target)
    assert profile is not None
    return parse_reference(json.loads(json.dumps(profile)))


def test_columns_are_described_by_their_kind() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": np.where(random.random(500) < 0.1, np.nan, random.normal(size=500)),
            "n": pd.array(random.integers(0, 3, 500), dtype="Int64"),
            "flag": random.random(500) > 0.5,
            "plan": random.choice(["a", "b"], 500),
            "grade": pd.Categorical.from_codes(random.integers(0, 2, 500), [10, 20]),
            "when": pd.date_range("2026-01-01", periods=500),
            "note": [f"note {number}" for number in range(500)],
            7: [[1]] * 500,
        }
    )
    found = reference(frame, frame["plan"])
    kinds = {column.name: column.kind.value for column in found.columns}
    assert kinds == {
        "x": "number", "n": "number", "flag": "number", "plan": "category", "grade": "category", "when": "other",
        "note": "other", "7": "other",
    }  # fmt: skip
    x, n, flag, plan, grade, *_ = found.columns
    assert (len(x.counts), sum(x.counts) + x.missing, x.rows) == (10, 500, 500)
    assert max(x.counts) - min(x.counts) <= 1
    assert (list(n.edges), sum(n.counts)) == ([0.5, 1.5], 500)
    assert list(flag.edges) == [0.5]
    assert (set(plan.values), sum(plan.counts), set(grade.values)) == ({"a", "b"}, 500, {"10", "20"})
    assert found.answers is not None
    assert found.answers.values == plan.values


def test_long_and_wide_tables_are_sampled() -> None:
    found = reference(np.arange(3_000_000.0).reshape(20_000, 150), np.arange(20_000) % 2)
    assert (found.rows, len(found.columns)) == (20_000, 100)
    assert {column.rows for column in found.columns} == {5000}
    # Spread over the whole table.
    assert found.columns[0].low < 150 * 100
    assert found.columns[0].high > 150 * 19_900


def test_frequent_values_are_counted_and_others_are_known() -> None:
    frame = pd.DataFrame({"city": [f"city {number}" for number in range(100)] * 20 + ["Ulm"] * 500})
    (city,) = reference(frame).columns
    assert (city.kind, city.values[0], city.counts[0]) == (ColumnKind.CATEGORY, "Ulm", 500)
    assert (len(city.values), len(city.others), sum(city.counts)) == (30, 71, 2500)


@pytest.mark.parametrize("data", [[[1.0]] * 100, np.ones((10, 2)), np.ones((100, 2, 2)), None, "text"])
def test_other_data_has_no_profile(data: Any) -> None:
    assert profile_of(data) is None


def test_profile_that_fails_is_told_and_the_script_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(np.ndarray[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise RuntimeError("broken")

    assert profile_of(np.ones((100, 2)).view(Broken)) is None
    assert "[raylift] no reference profile" in capsys.readouterr().err


def test_budget_of_time_ends_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reference_profile.has_time()
    monkeypatch.setattr(reference_profile, "_spent", 1e9)
    assert not reference_profile.has_time()


def test_random_numbers_of_the_script_stay_the_same() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    profile_of(np.ones((20_000, 2)))
    assert np.random.random() == expected

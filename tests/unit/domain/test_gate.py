"""Conditions of gates: their form, their metrics, and what becomes of a version."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from raylift.domain.rollouts.expression import expression_error, holds, names_in
from raylift.domain.rollouts.gate import First, Gate, gate_problems, judge
from raylift.domain.rollouts.rollout import RolloutPlan, Step, StepKind

WHEN = "auc >= champion.auc + 0.002 and slice.min_auc > 0.7"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (WHEN, ["auc", "champion.auc", "slice.min_auc"]),
        ("slice.min_auc > 0.7 and slice > 1", ["slice.min_auc", "slice"]),
        ("min(min, 2) > 1", ["min"]),
        ('metric("val/auc") > champion("val/auc") * 1.01', ["val/auc", "champion.val/auc"]),
        ("not loss > 0.5 or min(a, b) >= -1", ["loss", "a", "b"]),
        ("0.1 < auc < 1", ["auc"]),
    ],
)
def test_metrics_of_a_condition(text: str, names: list[str]) -> None:
    assert expression_error(text) is None
    assert sorted(names_in(text)) == sorted(names)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("auc >", "no condition"),
        ("", "no condition"),
        ("auc", "comparison"),
        ("auc > 0.5 and loss", "comparison"),
        ("__import__('os').system('x') > 0", "calls something"),
        ("(lambda: 1)() > 0", "calls something"),
        ("[x for x in (1,)] > 0", "ListComp"),
        ("a[0] > 0", "Subscript"),
        ("a ** 9999999 > 0", "Pow"),
        ("name == 'x'", "'x'"),
        ("open('x') > 0", "calls something"),
        ("metric(auc) > 0", "calls something"),
        ("(a, b) > 0", "Tuple"),
        ("1e999 > a", "inf"),
        ("a > 0 if b else c", "IfExp"),
        ("(" * 500 + "a" + ")" * 500 + " > 0", "longer"),
        ("-" * 900 + "a > 0", "levels"),
        ("a" + " + a" * 200 + " > 0", "levels"),
        ("9" * 990 + " > a", "a condition has"),
    ],
)
def test_other_expressions_are_refused(text: str, says: str) -> None:
    assert says in (expression_error(text) or "")


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        (WHEN, {"auc": 0.9, "champion.auc": 0.89, "slice.min_auc": 0.71}, True),
        (WHEN, {"auc": 0.891, "champion.auc": 0.89, "slice.min_auc": 0.71}, False),
        ('metric("val/auc") > champion("val/auc")', {"val/auc": 2, "champion.val/auc": 1}, True),
        ("max(a, abs(b)) == 3 or not a <= 2", {"a": 1, "b": -3}, True),
        ("-a / 2 + 1 < 0", {"a": 3}, True),
    ],
)
def test_conditions_are_evaluated(text: str, values: Mapping[str, float], expected: bool) -> None:
    assert holds(text, values) is expected


def test_division_by_zero_is_no_promotion() -> None:
    verdict = judge(Gate("champion", "a / b > 1"), {"a": 1.0, "b": 0.0}, {})
    assert not verdict.passes
    assert "cannot be computed" in verdict.message


def test_verdict_tells_the_values() -> None:
    better = judge(Gate("champion", "auc > champion.auc"), {"auc": 0.91}, {"auc": 0.9})
    assert better.passes
    assert better.message == "`auc > champion.auc` holds: auc = 0.91, champion.auc = 0.9."
    assert better.values == {"auc": 0.91, "champion.auc": 0.9}
    assert not judge(Gate("champion", "auc > champion.auc"), {"auc": 0.9}, {"auc": 0.9}).passes


@pytest.mark.parametrize(
    ("candidate", "champion", "says"),
    [
        ({}, {"auc": 0.9}, "No figure for auc in the run, which"),
        ({"auc": 0.9}, {}, "No figure for auc in the champion's run"),
        ({"auc": math.nan}, {}, "auc in the run and auc in the champion's run"),
    ],
)
def test_missing_metric_is_a_sentence(candidate: Mapping[str, float], champion: Mapping[str, float], says: str) -> None:
    verdict = judge(Gate("champion", "auc > champion.auc"), candidate, champion)
    assert not verdict.passes
    assert says in verdict.message


def test_first_version() -> None:
    assert judge(Gate("champion", "auc > champion.auc"), {}, None).passes
    kept = judge(Gate("champion", "auc > champion.auc", First.KEEP), {}, None)
    assert (kept.passes, kept.message) == (
        False, "The alias 'champion' names no version to compare with: it is kept, as first: keep says.",
    )  # fmt: skip
    # A condition that needs no champion is evaluated.
    assert not judge(Gate("champion", "auc > 0.8"), {"auc": 0.7}, None).passes
    assert judge(Gate("champion"), {}, None).passes


def test_wrong_gates_are_named() -> None:
    steps = RolloutPlan((Step(StepKind.WEIGHT, 5),))
    wrong = gate_problems(Gate("v1", "auc >", rollout=steps), has_model=False, deploys=False, is_sweep=True)
    fields = ["promote", "promote", "promote.alias", "promote.when", "promote.rollout.steps[0]", "promote.rollout"]
    assert [error.field for error in wrong] == fields
    assert gate_problems(Gate("champion", WHEN), has_model=True, deploys=True, is_sweep=False) == []

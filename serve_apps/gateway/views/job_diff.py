"""Comparisons of two jobs in the REST API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raylift.api.jobs.diff import JobDiff, ListDifference, NameDifference, ValueDifference
from raylift.services.jobs.diff import Change, Comparison, Difference, OnlyIn


def job_diff(found: Comparison) -> JobDiff:
    return JobDiff(
        first=found.first,
        second=found.second,
        same=found.same,
        script=found.script,
        project=_names(found.project),
        data=[_value(item) for item in found.data],
        requirements=_lists(found.requirements),
        environment_lock=_lists(found.environment_lock),
        args=_value(found.args) if found.args else None,
        params=[_value(item) for item in found.params],
        environment=_names(found.environment),
        resources=[_value(item) for item in found.resources],
        settings=[_value(item) for item in found.settings],
        metrics=[_value(item) for item in found.metrics],
    )


def _names(changes: Mapping[str, Change]) -> list[NameDifference]:
    return [NameDifference(name=name, change=change) for name, change in changes.items()]


def _lists(found: OnlyIn) -> ListDifference:
    return ListDifference(removed=list(found.first), added=list(found.second))


def _value(difference: Difference) -> ValueDifference:
    return ValueDifference(name=difference.name, first=_shown(difference.first), second=_shown(difference.second))


def _shown(value: Any) -> Any:
    """Return a JSON value. NaN and infinity become text, since null means that the job has no value."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

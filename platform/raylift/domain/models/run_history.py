"""Parameters and metric curves of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MetricPoint:
    step: int
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class RunHistory:
    """Content of a run, also of one that is not finished."""

    run_id: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    metrics: Mapping[str, Sequence[MetricPoint]] = field(default_factory=dict[str, Sequence[MetricPoint]])
    """By name. Points are in order of their steps, and sampled where there are many."""
    left_out: Sequence[str] = ()
    """Names of metrics beyond the number that is read at once."""

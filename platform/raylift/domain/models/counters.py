"""Request counters of model versions: their names, sums and quantiles.

Counters are identified by name, not position, so those of different releases can be added. They only grow. Gauges have
names that begin with ``now.`` and end with their process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Final


class ProtocolName(StrEnum):
    """Protocol of a prediction request."""

    RAYLIFT = "raylift"
    OPEN_INFERENCE = "open_inference"
    MLFLOW = "mlflow"
    KSERVE_V1 = "kserve_v1"
    OTHER = "other"


class ErrorKind(StrEnum):
    """Kinds of failed prediction requests; the error's code where it has one."""

    MALFORMED_BODY = "malformed_body"
    UNSUPPORTED_CONTENT = "unsupported_content"
    TOO_LARGE = "too_large"
    INVALID_REQUEST = "invalid_request"
    WRONG_INPUTS = "wrong_inputs"
    NO_PROBABILITIES = "no_probabilities"
    INPUTS_REFUSED = "inputs_refused"
    PREDICTION_FAILED = "prediction_failed"
    INTERNAL_ERROR = "internal_error"
    CLIENT_GONE = "client_gone"
    """The client disconnected before the answer."""
    PROCESS_DIED = "process_died"
    """The process ended while it worked on the request."""
    OTHER = "other"


class ProcessKind(StrEnum):
    REPLICA = "replica"
    WARM = "warm"
    """Answers while there is no replica."""


SECONDS_BOUNDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
)  # fmt: skip
"""Upper bounds (inclusive, seconds) of the latency histogram's buckets; one more bucket has larger values."""
ROWS_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
"""Upper bounds of the histogram of rows per batch."""

_ABOVE: Final = "+Inf"
FINISHED: Final = "finished"
ROWS: Final = "rows"
"""Computed rows; also the sum of the histogram of batches."""
SECONDS_SUM: Final = "seconds.sum"
LOADS: Final = "loads"
LOAD_SECONDS: Final = "load_seconds"
LOAD_FAILURES: Final = "load_failures"
PAYLOADS_WRITTEN: Final = "payloads.written"
PAYLOADS_DROPPED: Final = "payloads.dropped"
NOW_QUEUED: Final = "now.queued"
NOW_MEMORY_BYTES: Final = "now.memory_bytes"
NOW_LOAD_SECONDS: Final = "now.load_seconds"
_NOW: Final = "now."


def requests_of(protocol: ProtocolName) -> str:
    return f"requests.{protocol}"


def errors_of(kind: ErrorKind) -> str:
    return f"errors.{kind}"


def _buckets(histogram: str, bounds: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{histogram}.le.{bound}" for bound in (*bounds, _ABOVE))


SECONDS: Final = _buckets("seconds", SECONDS_BOUNDS)
BATCH_ROWS: Final = _buckets("batch_rows", ROWS_BOUNDS)

NAMES: Final[tuple[str, ...]] = (
    *map(requests_of, ProtocolName),
    *map(errors_of, ErrorKind),
    FINISHED, ROWS, SECONDS_SUM, *SECONDS, *BATCH_ROWS,
    LOADS, LOAD_SECONDS, LOAD_FAILURES, PAYLOADS_WRITTEN, PAYLOADS_DROPPED,
    NOW_QUEUED, NOW_MEMORY_BYTES, NOW_LOAD_SECONDS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProcessCounts:
    """Counters of one process."""

    model_name: str
    version: str
    process: ProcessKind
    started_at: datetime
    counts: Mapping[str, float]
    is_alive: bool = True


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """Sum of the counters of all processes of a version, dead ones included."""

    model_name: str
    version: str
    since: datetime
    """Start of the first process."""
    counts: Mapping[str, float]
    alive: tuple[ProcessCounts, ...] = ()

    def of(self, name: str) -> float:
        return self.counts.get(name, 0.0)

    def now(self, name: str) -> float:
        """Return the sum of a gauge over the live processes."""
        return sum(process.counts.get(name, 0.0) for process in self.alive)

    @property
    def requests(self) -> float:
        return sum(self.of(requests_of(protocol)) for protocol in ProtocolName)

    @property
    def errors(self) -> float:
        return sum(self.of(errors_of(kind)) for kind in ErrorKind)

    @property
    def ongoing(self) -> float:
        """Requests that live processes have not answered yet."""
        return sum(_unfinished(process.counts) for process in self.alive)

    def processes(self, kind: ProcessKind) -> int:
        return sum(process.process is kind for process in self.alive)

    def buckets(self, names: Sequence[str]) -> list[float]:
        """Return a histogram's cumulative counts. Rounded, because parts of a batch count as fractions."""
        return [round(count, 6) for count in accumulate(self.of(name) for name in names)]


def counts_of(processes: Iterable[ProcessCounts]) -> VersionCounts:
    """Add up the processes of one version, at least one. Unanswered requests of a dead process count as errors."""
    everyone = tuple(processes)
    total: dict[str, float] = {}
    for process in everyone:
        for name, count in process.counts.items():
            if not name.startswith(_NOW):
                total[name] = total.get(name, 0.0) + count
        if not process.is_alive and (lost := _unfinished(process.counts)) > 0:
            died = errors_of(ErrorKind.PROCESS_DIED)
            total[died] = total.get(died, 0.0) + lost
            total[FINISHED] = total.get(FINISHED, 0.0) + lost
    first = everyone[0]
    return VersionCounts(
        first.model_name,
        first.version,
        min(process.started_at for process in everyone),
        total,
        tuple(process for process in everyone if process.is_alive),
    )


def quantile(share: float, cumulative: Sequence[float], bounds: Sequence[float]) -> float | None:
    """Estimate a quantile like PromQL's ``histogram_quantile``.

    Args:
        share: between 0 and 1.
        cumulative: count per bucket, smaller buckets included.
        bounds: upper bounds, one fewer than there are buckets.

    Returns:
        None without observations; at most the highest bound.
    """
    if not cumulative or cumulative[-1] <= 0:
        return None
    rank = share * cumulative[-1]
    at = next(index for index, count in enumerate(cumulative) if count >= rank)
    if at >= len(bounds):
        return bounds[-1]
    below = cumulative[at - 1] if at else 0.0
    start = bounds[at - 1] if at else 0.0
    within = cumulative[at] - below
    return start + (bounds[at] - start) * ((rank - below) / within if within else 0.0)


def _unfinished(counts: Mapping[str, float]) -> float:
    return sum(counts.get(requests_of(protocol), 0.0) for protocol in ProtocolName) - counts.get(FINISHED, 0.0)

"""Counters of model processes as Prometheus metrics, the same in every gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from raylift.domain.models import counters
from raylift.domain.models.counters import ErrorKind, ProcessKind, ProtocolName, VersionCounts

_LABELS: Final = ("model", "version")


class ModelCollector(Collector):
    """Reads the counts at each scrape."""

    def __init__(self, counts: Callable[[], Sequence[VersionCounts]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return ()  # Without this, registration would collect once.

    def collect(self) -> Iterable[Metric]:
        all_counts = self._counts()
        # No series of requests for versions that only passed the load check: there may be hundreds.
        with_requests = [counts for counts in all_counts if counts.requests]
        yield from _of_requests(with_requests)
        yield from _of_processes(all_counts)
        yield from _of_payloads(with_requests)


def _of_requests(with_requests: Sequence[VersionCounts]) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "raylift_predictions", "Prediction requests that reached a process of the version.", labels=(*_LABELS, "protocol")
    )
    errors = CounterMetricFamily(
        "raylift_prediction_errors", "Prediction requests that failed, by kind.", labels=(*_LABELS, "kind")
    )
    seconds = HistogramMetricFamily(
        "raylift_prediction_seconds", "Seconds from a request's body until its answer, in the process.", labels=_LABELS
    )
    rows = HistogramMetricFamily("raylift_prediction_batch_rows", "Rows that were computed together.", labels=_LABELS)
    for counts in with_requests:
        names = (counts.model_name, counts.version)
        for protocol in ProtocolName:
            requests.add_metric((*names, protocol.value), counts.of(counters.requests_of(protocol)))
        for kind in ErrorKind:
            errors.add_metric((*names, kind.value), counts.of(counters.errors_of(kind)))
        seconds.add_metric(names, _buckets(counts, counters.SECONDS, counters.SECONDS_BOUNDS), counts.of(counters.SECONDS_SUM))
        rows.add_metric(names, _buckets(counts, counters.BATCH_ROWS, counters.ROWS_BOUNDS), counts.of(counters.ROWS))
    return requests, errors, seconds, rows


def _of_processes(all_counts: Sequence[VersionCounts]) -> Iterable[Metric]:
    by_process = (*_LABELS, "process")
    processes = GaugeMetricFamily("raylift_model_processes", "Processes that answer for the version.", labels=by_process)
    memory = GaugeMetricFamily("raylift_model_memory_bytes", "Resident memory of these processes.", labels=by_process)
    ongoing = GaugeMetricFamily("raylift_model_ongoing_requests", "Requests that a process works on.", labels=_LABELS)
    queued = GaugeMetricFamily(
        "raylift_model_queued_requests", "Of the ongoing ones, those that are not computed yet.", labels=_LABELS
    )
    loads = SummaryMetricFamily("raylift_model_load_seconds", "Seconds that loading the version took.", labels=_LABELS)
    failures = CounterMetricFamily("raylift_model_load_failures", "Times that the version did not load.", labels=_LABELS)
    for counts in all_counts:
        names = (counts.model_name, counts.version)
        for kind in ProcessKind:
            alive = [process for process in counts.alive if process.process is kind]
            processes.add_metric((*names, kind.value), len(alive))
            memory.add_metric(
                (*names, kind.value), sum(process.counts.get(counters.NOW_MEMORY_BYTES, 0.0) for process in alive)
            )
        ongoing.add_metric(names, counts.ongoing)
        queued.add_metric(names, counts.now(counters.NOW_QUEUED))
        loads.add_metric(names, count_value=int(counts.of(counters.LOADS)), sum_value=counts.of(counters.LOAD_SECONDS))
        failures.add_metric(names, counts.of(counters.LOAD_FAILURES))
    return processes, memory, ongoing, queued, loads, failures


def _of_payloads(with_requests: Sequence[VersionCounts]) -> Iterable[Metric]:
    written = CounterMetricFamily("raylift_payloads", "Requests that the payload log has written.", labels=_LABELS)
    dropped = CounterMetricFamily(
        "raylift_payloads_dropped", "Sampled requests that the payload log had no room for, or could not write.", labels=_LABELS
    )
    for counts in with_requests:
        names = (counts.model_name, counts.version)
        written.add_metric(names, counts.of(counters.PAYLOADS_WRITTEN))
        dropped.add_metric(names, counts.of(counters.PAYLOADS_DROPPED))
    return written, dropped


def _buckets(counts: VersionCounts, names: Sequence[str], bounds: Sequence[float]) -> list[tuple[str, float]]:
    edges = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(edges, counts.buckets(names), strict=True))

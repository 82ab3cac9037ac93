"""Counts a version's requests, logs slow, failed and traced ones, and passes them to the payload log."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

import psutil

from raylift.domain.models import counters
from raylift.domain.models.counters import ErrorKind, ProcessKind, ProtocolName
from raylift.domain.models.replica import ObserverConfig
from raylift.engines.metrics.counter_files import CounterFile
from serve_apps.model_server.observability.exchange import PROTOCOLS, STATUS_CLIENT_GONE, Exchange
from serve_apps.model_server.observability.payload_log import PayloadLogger

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_SAMPLE_SECONDS: Final = 2.0
_MS: Final = 1000.0

_INDEX: Final = {name: index for index, name in enumerate(counters.NAMES)}
_REQUESTS: Final = {route: _INDEX[counters.requests_of(protocol)] for route, protocol in PROTOCOLS.items()}
_REQUESTS_OTHER: Final = _INDEX[counters.requests_of(ProtocolName.OTHER)]
_ERRORS: Final = {kind.value: _INDEX[counters.errors_of(kind)] for kind in ErrorKind}
_ERROR_OTHER: Final = _ERRORS[ErrorKind.OTHER]
_GONE: Final = _ERRORS[ErrorKind.CLIENT_GONE]
_FINISHED: Final = _INDEX[counters.FINISHED]
_ROWS: Final = _INDEX[counters.ROWS]
_SECONDS_SUM: Final = _INDEX[counters.SECONDS_SUM]
_SECONDS: Final = _INDEX[counters.SECONDS[0]]
_BATCHES: Final = _INDEX[counters.BATCH_ROWS[0]]


class Observer:
    """Request observer of a version in a process. ``began`` and ``ended`` are called on the event loop only."""

    def __init__(self, model_name: str, version: str, process: ProcessKind, counters_dir: str | None) -> None:
        """``counters_dir``: directory of the processes' counters. None, or one that cannot be written: count in memory only."""
        self._version = model_name, version
        self._file = _open(counters_dir, model_name, version, process)
        self._values: memoryview[float] | list[float] = self._file.values if self._file else [0.0] * len(counters.NAMES)
        self._config = ObserverConfig(slow_seconds=None)
        self._slow_seconds = float("inf")
        self._payloads: PayloadLogger | None = None
        self._closing = threading.Event()
        self._sampler: threading.Thread | None = None

    def configure(self, config: ObserverConfig) -> None:
        self._config = config
        self._slow_seconds = float("inf") if config.slow_seconds is None else config.slow_seconds
        if self._payloads is None and config.payload_log and config.payloads:
            self._payloads = PayloadLogger(self._version, config.payloads, self._note_payloads)
        if self._payloads is not None:
            self._payloads.set(config.payload_log)

    def loading(self, load: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Call ``load`` and measure its time."""
        started = perf_counter()
        try:
            model = load(*arguments, **named)
        except BaseException:
            self._values[_INDEX[counters.LOAD_FAILURES]] += 1.0
            raise
        seconds = perf_counter() - started
        self._values[_INDEX[counters.LOADS]] += 1.0
        self._values[_INDEX[counters.LOAD_SECONDS]] += seconds
        self._values[_INDEX[counters.NOW_LOAD_SECONDS]] = seconds
        return model

    def sample(self, queued: Callable[[], int]) -> None:
        """Measure the memory of the process and its queued requests every two seconds."""
        self._sampler = threading.Thread(target=self._sample, args=(queued,), name="observer", daemon=True)
        self._sampler.start()

    def began(self, route: str) -> None:
        self._values[_REQUESTS.get(route, _REQUESTS_OTHER)] += 1.0

    def ended(self, exchange: Exchange) -> None:
        values, response, seconds = self._values, exchange.response, exchange.seconds
        values[_FINISHED] += 1.0
        error = None
        if response is None:
            values[_GONE] += 1.0
            error = ErrorKind.CLIENT_GONE.value
        else:
            values[_SECONDS_SUM] += seconds
            values[_SECONDS + bisect_left(counters.SECONDS_BOUNDS, seconds)] += 1.0
            if (together := exchange.rows_together) > 0:
                rows = exchange.rows
                values[_ROWS] += rows
                # Each request adds its share of the batch: the shares of a batch sum to 1.
                values[_BATCHES + bisect_left(counters.ROWS_BOUNDS, together)] += rows / together
            if (error := response.error) is not None:
                values[_ERRORS.get(error, _ERROR_OTHER)] += 1.0
        config = self._config
        if error is not None or seconds >= self._slow_seconds or config.access_log or exchange.is_traced:
            self._write_line(exchange, error)
        if self._payloads is not None:
            self._payloads.offer(exchange)

    def close(self) -> None:
        """Write buffered payloads and counters. Idempotent."""
        self._closing.set()
        if self._payloads is not None:
            self._payloads.close()
        if self._sampler is not None:
            self._sampler.join()
            self._sampler = None

    def _write_line(self, exchange: Exchange, error: str | None) -> None:
        response = exchange.response
        status = response.status if response else STATUS_CLIENT_GONE
        _log.log(
            logging.ERROR if status >= 500 else logging.INFO,
            "request_id=%s traceparent=%s model=%s version=%s route=%s status=%d error=%s rows=%d ms=%.3f",
            exchange.request_id or "-",
            exchange.traceparent or "-",
            *self._version,
            exchange.route,
            status,
            error or "-",
            exchange.rows,
            exchange.seconds * _MS,
        )

    def _note_payloads(self, written: int, dropped: int) -> None:
        self._values[_INDEX[counters.PAYLOADS_WRITTEN]] += written
        self._values[_INDEX[counters.PAYLOADS_DROPPED]] += dropped

    def _sample(self, queued: Callable[[], int]) -> None:
        process = psutil.Process()
        finished = -1.0
        while True:
            self._values[_INDEX[counters.NOW_MEMORY_BYTES]] = float(process.memory_info().rss)
            self._values[_INDEX[counters.NOW_QUEUED]] = float(queued())
            if self._file is not None and finished != self._values[_FINISHED]:
                finished = self._values[_FINISHED]
                self._file.sync()
            if self._closing.wait(_SAMPLE_SECONDS):
                return


def _open(directory: str | None, model_name: str, version: str, process: ProcessKind) -> CounterFile | None:
    if directory is None:
        return None
    try:
        return CounterFile(Path(directory), model_name, version, process, started_at=datetime.now(UTC))
    except OSError:
        _log.exception("%s version %s: nothing is counted", model_name, version)
        return None

"""Counts the requests to a version, writes about those that are worth a line, and offers them to the payload log."""

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

from raylift.domain import model_counters as counters
from raylift.domain.model_counters import ErrorKind, ProcessKind, ProtocolName
from raylift.domain.replica import ObserverConfig
from raylift.engines.metrics.counter_files import CounterFile
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.observability.payload_log import PayloadLogger
from serve_apps.model_server.observability.request_identity import STATUS_CLIENT_GONE, is_traced, request_id_of, traceparent_of

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOOK_SECONDS: Final = 2.0
_MS: Final = 1000.0

_PROTOCOLS: Final = {
    "/predict": ProtocolName.RAYLIFT,
    "/infer": ProtocolName.OPEN_INFERENCE,
    "/invocations": ProtocolName.MLFLOW,
    "/v1:predict": ProtocolName.KSERVE_V1,
}
_PLACE: Final = {name: place for place, name in enumerate(counters.NAMES)}
_BEGAN: Final = {route: _PLACE[counters.requests_of(protocol)] for route, protocol in _PROTOCOLS.items()}
_BEGAN_OTHER: Final = _PLACE[counters.requests_of(ProtocolName.OTHER)]
_ERRORS: Final = {kind.value: _PLACE[counters.errors_of(kind)] for kind in ErrorKind}
_ERROR_OTHER: Final = _ERRORS[ErrorKind.OTHER]
_GONE: Final = _ERRORS[ErrorKind.CLIENT_GONE]
_FINISHED: Final = _PLACE[counters.FINISHED]
_ROWS: Final = _PLACE[counters.ROWS]
_SECONDS_SUM: Final = _PLACE[counters.SECONDS_SUM]
_SECONDS: Final = _PLACE[counters.SECONDS[0]]
_BATCHES: Final = _PLACE[counters.BATCH_ROWS[0]]


class Observer:
    """Of one version in one process. A watch: ``began`` and ``ended`` are called on the loop alone."""

    def __init__(self, model_name: str, version: str, process: ProcessKind, counters_dir: str | None) -> None:
        """``counters_dir``: where processes count; None, or one that cannot be written, to count for nobody."""
        self._version = model_name, version
        self._process = process
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
            self._payloads = PayloadLogger(self._version, config.payloads, self._note_payloads, protocol_of=protocol_of)
        if self._payloads is not None:
            self._payloads.set(config.payload_log)

    def loading(self, load: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        """What ``load`` returns, and how long that took."""
        started = perf_counter()
        try:
            model = load(*arguments, **named)
        except BaseException:
            self._values[_PLACE[counters.LOAD_FAILURES]] += 1.0
            raise
        seconds = perf_counter() - started
        self._values[_PLACE[counters.LOADS]] += 1.0
        self._values[_PLACE[counters.LOAD_SECONDS]] += seconds
        self._values[_PLACE[counters.NOW_LOAD_SECONDS]] = seconds
        return model

    def sample(self, queued: Callable[[], int]) -> None:
        """Look every other second how much memory the process has, and how many requests wait in it."""
        self._sampler = threading.Thread(target=self._sample, args=(queued,), name="observer", daemon=True)
        self._sampler.start()

    def began(self, route: str) -> None:
        self._values[_BEGAN.get(route, _BEGAN_OTHER)] += 1.0

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
                # Each request of a batch counts its part of it: together they are one.
                values[_BATCHES + bisect_left(counters.ROWS_BOUNDS, together)] += rows / together
            if (error := response.error) is not None:
                values[_ERRORS.get(error, _ERROR_OTHER)] += 1.0
        config = self._config
        if error is not None or seconds >= self._slow_seconds or config.access_log or is_traced(exchange.headers):
            self._write_line(exchange, error)
        if self._payloads is not None:
            self._payloads.offer(exchange)

    def close(self) -> None:
        """Write what waits to be written. Idempotent."""
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
            request_id_of(exchange.headers) or "-",
            traceparent_of(exchange.headers) or "-",
            *self._version,
            exchange.route,
            status,
            error or "-",
            exchange.rows,
            exchange.seconds * _MS,
        )

    def _note_payloads(self, written: int, dropped: int) -> None:
        self._values[_PLACE[counters.PAYLOADS_WRITTEN]] += written
        self._values[_PLACE[counters.PAYLOADS_DROPPED]] += dropped

    def _sample(self, queued: Callable[[], int]) -> None:
        process = psutil.Process()
        finished = -1.0
        while True:
            self._values[_PLACE[counters.NOW_MEMORY_BYTES]] = float(process.memory_info().rss)
            self._values[_PLACE[counters.NOW_QUEUED]] = float(queued())
            if self._file is not None and finished != self._values[_FINISHED]:
                finished = self._values[_FINISHED]
                self._file.sync()
            if self._closing.wait(_LOOK_SECONDS):
                return


def protocol_of(route: str) -> str:
    return _PROTOCOLS.get(route, ProtocolName.OTHER).value


def _open(directory: str | None, model_name: str, version: str, process: ProcessKind) -> CounterFile | None:
    if directory is None:
        return None
    try:
        return CounterFile(Path(directory), model_name, version, process, started_at=datetime.now(UTC))
    except OSError:
        _log.exception("%s version %s: nothing is counted", model_name, version)
        return None

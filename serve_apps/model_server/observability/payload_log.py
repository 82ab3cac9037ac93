"""Logs a sample of requests and responses. The request path only appends to a list."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from raylift.domain.models.counters import ErrorKind
from raylift.domain.models.deployment import PayloadLog
from raylift.domain.models.replica import PayloadFiles
from raylift.engines.metrics.payload_files import Payload, write_payloads
from serve_apps.model_server.observability.exchange import STATUS_CLIENT_GONE, Exchange

_log = logging.getLogger(__name__)

_MAX_BUFFERED: Final = 10_000
_MAX_BUFFERED_BYTES: Final = 64 * 1024 * 1024
_MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A sampled exchange until it is written; too large bodies are None."""

    at: float
    exchange: Exchange
    inputs: bytes | None
    outputs: bytes | None
    inputs_bytes: int
    outputs_bytes: int

    @property
    def size(self) -> int:
        return len(self.inputs or b"") + len(self.outputs or b"")


@dataclass(slots=True)
class _Buffer:
    sampled: list[_Sampled] = field(default_factory=list[_Sampled])
    bytes: int = 0
    since: float = 0.0


class PayloadLogger:
    """Payload log of a version in a process. ``note`` receives the numbers of written and of dropped payloads."""

    def __init__(self, version: tuple[str, str], files: PayloadFiles, note: Callable[[int, int], None]) -> None:
        self._version = version
        self._files = files
        self._note = note
        self._sample: PayloadLog | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._buffer = _Buffer()
        self._thread: threading.Thread | None = None

    def set(self, sample: PayloadLog | None) -> None:
        """Set the sample of further requests; None: no requests."""
        self._sample = sample

    def offer(self, exchange: Exchange) -> None:
        """Log the exchange if it is in the sample and there is room. Never waits."""
        sample = self._sample
        # random() is below 1: a rate of 1 takes every request.
        if sample is None or random.random() >= sample.sample_rate:  # noqa: S311 - a sample, no secret
            return
        sampled = _sampled(exchange, sample.max_body_bytes)
        with self._lock:
            buffer = self._buffer
            if len(buffer.sampled) >= _MAX_BUFFERED or buffer.bytes + sampled.size > _MAX_BUFFERED_BYTES:
                self._note(0, 1)
                return
            if not buffer.sampled:
                buffer.since = time.monotonic()
            buffer.sampled.append(sampled)
            buffer.bytes += sampled.size
            is_full = buffer.bytes >= self._files.file_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)
                self._thread.start()
        if is_full:
            self._wake.set()

    def close(self) -> None:
        """Write what is buffered. Later requests are not logged."""
        self._sample = None
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        interval = min(1.0, self._files.file_seconds / 2)
        while not self._is_closed:
            self._wake.wait(interval)
            self._wake.clear()
            with self._lock:
                buffer = self._buffer
                age = time.monotonic() - buffer.since
                is_due = bool(buffer.sampled) and (
                    buffer.bytes >= self._files.file_bytes or age >= self._files.file_seconds or self._is_closed
                )
                if is_due:
                    self._buffer = _Buffer()
            if is_due:
                self._write(buffer.sampled)
        self._write(self._buffer.sampled)

    def _write(self, sampled: Sequence[_Sampled]) -> None:
        if not sampled:
            return
        try:
            write_payloads(Path(self._files.root), [self._payload(one) for one in sampled])
        except Exception:  # noqa: BLE001 - the model must go on answering
            _log.exception("%d payloads could not be written", len(sampled))
            written = 0
        else:
            written = len(sampled)
        with self._lock:
            self._note(written, len(sampled) - written)

    def _payload(self, sampled: _Sampled) -> Payload:
        exchange, response = sampled.exchange, sampled.exchange.response
        return Payload(
            request_id=exchange.request_id or "",
            time=datetime.fromtimestamp(sampled.at, UTC),
            model_name=self._version[0],
            model_version=self._version[1],
            protocol=exchange.protocol.value,
            status=response.status if response else STATUS_CLIENT_GONE,
            error=response.error if response else ErrorKind.CLIENT_GONE.value,
            latency_ms=exchange.seconds * _MS,
            rows=exchange.rows,
            inputs=_text(sampled.inputs),
            outputs=_text(sampled.outputs),
            inputs_bytes=sampled.inputs_bytes,
            outputs_bytes=sampled.outputs_bytes,
            traceparent=exchange.traceparent,
        )


def _sampled(exchange: Exchange, limit: int) -> _Sampled:
    inputs, outputs = exchange.body, exchange.response.body if exchange.response else b""
    exchange.body = b""
    return _Sampled(
        time.time(),
        exchange,
        inputs if len(inputs) <= limit else None,
        outputs if len(outputs) <= limit else None,
        len(inputs),
        len(outputs),
    )


def _text(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None

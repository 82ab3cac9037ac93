"""Keeps a sample of requests and their answers, off the request path: a request only puts itself on a list."""

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

from raylift.domain.deployment import PayloadLog
from raylift.domain.model_counters import ErrorKind
from raylift.domain.replica import PayloadFiles
from raylift.engines.metrics.payload_files import Payload, write_payloads
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.observability.request_identity import STATUS_CLIENT_GONE, request_id_of, traceparent_of

_log = logging.getLogger(__name__)

_MAX_WAITING: Final = 10_000
_MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
_MS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """What of an exchange is kept until it is written; bodies that are too large are not."""

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
class _Waiting:
    kept: list[_Kept] = field(default_factory=list[_Kept])
    bytes: int = 0
    since: float = 0.0


class PayloadLogger:
    """Of one version in one process. ``note`` is told how many were written and how many were dropped."""

    def __init__(
        self,
        version: tuple[str, str],
        files: PayloadFiles,
        note: Callable[[int, int], None],
        *,
        protocol_of: Callable[[str], str],
    ) -> None:
        self._version = version
        self._files = files
        self._note = note
        self._protocol_of = protocol_of
        self._sample: PayloadLog | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._waiting = _Waiting()
        self._thread: threading.Thread | None = None

    def set(self, sample: PayloadLog | None) -> None:
        """Which requests are kept from now on; None: none."""
        self._sample = sample

    def offer(self, exchange: Exchange) -> None:
        """Keep the exchange if it is in the sample and there is room; never waits."""
        sample = self._sample
        # random() is below 1: a rate of 1 keeps all.
        if sample is None or random.random() >= sample.sample_rate:  # noqa: S311 - a sample, no secret
            return
        kept = _kept(exchange, sample.max_body_bytes)
        with self._lock:
            waiting = self._waiting
            if len(waiting.kept) >= _MAX_WAITING or waiting.bytes + kept.size > _MAX_WAITING_BYTES:
                self._note(0, 1)
                return
            if not waiting.kept:
                waiting.since = time.monotonic()
            waiting.kept.append(kept)
            waiting.bytes += kept.size
            is_much = waiting.bytes >= self._files.file_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)
                self._thread.start()
        if is_much:
            self._wake.set()

    def close(self) -> None:
        """Write what waits. Nothing is taken afterwards."""
        self._sample = None
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        look = min(1.0, self._files.file_seconds / 2)
        while not self._is_closed:
            self._wake.wait(look)
            self._wake.clear()
            with self._lock:
                waiting = self._waiting
                age = time.monotonic() - waiting.since
                is_due = bool(waiting.kept) and (
                    waiting.bytes >= self._files.file_bytes or age >= self._files.file_seconds or self._is_closed
                )
                if is_due:
                    self._waiting = _Waiting()
            if is_due:
                self._write(waiting.kept)
        self._write(self._waiting.kept)

    def _write(self, kept: Sequence[_Kept]) -> None:
        if not kept:
            return
        try:
            write_payloads(Path(self._files.root), [self._payload(one) for one in kept])
        except Exception:  # noqa: BLE001 - whatever it was: the model must go on answering
            _log.exception("%d payloads could not be written", len(kept))
            written = 0
        else:
            written = len(kept)
        with self._lock:
            self._note(written, len(kept) - written)

    def _payload(self, kept: _Kept) -> Payload:
        exchange, response = kept.exchange, kept.exchange.response
        return Payload(
            request_id=request_id_of(exchange.headers) or "",
            time=datetime.fromtimestamp(kept.at, UTC),
            model_name=self._version[0],
            model_version=self._version[1],
            protocol=self._protocol_of(exchange.route),
            status=response.status if response else STATUS_CLIENT_GONE,
            error=response.error if response else ErrorKind.CLIENT_GONE.value,
            latency_ms=exchange.seconds * _MS,
            rows=exchange.rows,
            inputs=_text(kept.inputs),
            outputs=_text(kept.outputs),
            inputs_bytes=kept.inputs_bytes,
            outputs_bytes=kept.outputs_bytes,
            traceparent=traceparent_of(exchange.headers),
        )


def _kept(exchange: Exchange, limit: int) -> _Kept:
    inputs, outputs = exchange.body, exchange.response.body if exchange.response else b""
    exchange.body = b""
    return _Kept(
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

"""Log lines for some requests of a replica, and payloads for a sample."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import ErrorKind, ProcessKind, VersionCounts
from raylift.domain.models.deployment import PayloadLog
from raylift.domain.models.replica import ObserverConfig, PayloadFiles
from raylift.engines.metrics.counter_files import read_counts
from raylift.engines.metrics.payload_files import Payload, remove_payloads, version_directory, write_payloads
from serve_apps.model_server.codecs.base import Response
from serve_apps.model_server.observability import payload_log
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.observability.observer import Observer

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = ((b"x-request-id", b"r-1"), (b"traceparent", TRACE.encode()))


def exchange(status: int = 200, *, error: str | None = None, seconds: float = 0.001, **fields_: Any) -> Exchange:
    answer = fields_.pop("answer", b'{"predictions": [1]}')
    return Exchange(
        "/predict",
        fields_.pop("headers", HEADERS),
        fields_.pop("body", b"{}"),
        Response(status, answer, error=error),
        seconds,
        1,
        1,
    )


def observer(tmp_path: Path, **config: Any) -> Observer:
    watch = Observer("m", "1", ProcessKind.REPLICA, str(tmp_path / "counters"))
    watch.configure(ObserverConfig.of(json.loads(json.dumps(ObserverConfig(**config).as_json()))))
    return watch


def counted(tmp_path: Path) -> VersionCounts:
    (counts,) = read_counts(tmp_path / "counters")
    return counts


def payloads(tmp_path: Path) -> PayloadFiles:
    return PayloadFiles(str(tmp_path / "payloads"), file_bytes=1_000_000, file_seconds=3600.0)


def kept(tmp_path: Path) -> pd.DataFrame:
    return pd.read_parquet(version_directory(tmp_path / "payloads", "m", "1"))


class TestLines:
    @pytest.mark.parametrize(
        ("config", "seen", "level"),
        [
            ({}, exchange(), None),
            ({}, exchange(422, error="wrong_inputs"), logging.INFO),
            ({}, exchange(500, error="prediction_failed"), logging.ERROR),
            ({"slow_seconds": 0.5}, exchange(seconds=0.6), logging.INFO),
            ({"slow_seconds": 0.5}, exchange(seconds=0.4), None),
            ({"slow_seconds": None}, exchange(seconds=100.0), None),
            ({"access_log": True}, exchange(), logging.INFO),
            ({}, exchange(headers=(*HEADERS, (b"x-raylift-traced", b"1"))), logging.INFO),
        ],
    )
    def test_errors_slow_requests_and_named_requests_are_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, config: dict[str, Any], seen: Exchange, level: int | None
    ) -> None:
        caplog.set_level(logging.INFO, "serve_apps.model_server.observability.observer")
        observer(tmp_path, **config).ended(seen)
        assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
        if level is not None:
            assert f"request_id=r-1 traceparent={TRACE} model=m version=1 route=/predict status=" in caplog.text

    def test_malformed_ids_are_not_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "serve_apps.model_server.observability.observer")
        headers = ((b"x-request-id", b"a b\x1b[31m"), (b"traceparent", b"00-zz"))
        observer(tmp_path).ended(exchange(422, error="wrong_inputs", headers=headers))
        assert "request_id=- traceparent=- " in caplog.text

    def test_disconnected_client_is_an_error(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "serve_apps.model_server.observability.observer")
        watch = observer(tmp_path)
        watch.began("/predict")
        watch.ended(Exchange("/predict", HEADERS))
        assert "status=499 error=client_gone" in caplog.text
        assert counted(tmp_path).of(counters.errors_of(ErrorKind.CLIENT_GONE)) == 1
        assert counted(tmp_path).buckets(counters.SECONDS)[-1] == 0


class TestCounts:
    def test_unknown_kind_of_error_is_counted_as_other(self, tmp_path: Path) -> None:
        observer(tmp_path).ended(exchange(400, error="invented_tomorrow"))
        assert counted(tmp_path).of(counters.errors_of(ErrorKind.OTHER)) == 1

    def test_load_time_and_load_failures_are_counted(self, tmp_path: Path) -> None:
        watch = observer(tmp_path)
        assert watch.loading(str, 7) == "7"
        with pytest.raises(ValueError, match="invalid literal"):
            watch.loading(int, "x")
        seen = counted(tmp_path)
        assert (seen.of(counters.LOADS), seen.of(counters.LOAD_FAILURES)) == (1, 1)
        assert seen.of(counters.LOAD_SECONDS) >= 0

    def test_memory_and_queue_are_sampled(self, tmp_path: Path) -> None:
        watch = observer(tmp_path)
        watch.sample(lambda: 3)
        watch.close()
        assert counted(tmp_path).now(counters.NOW_QUEUED) == 3
        assert counted(tmp_path).now(counters.NOW_MEMORY_BYTES) > 1_000_000

    def test_requests_are_answered_if_no_counts_can_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        watch = Observer("m", "1", ProcessKind.REPLICA, str(tmp_path / "file"))
        watch.began("/predict")
        watch.ended(exchange())


class TestPayloads:
    def test_sample_rate_1_keeps_all_payloads(self, tmp_path: Path) -> None:
        watch = observer(tmp_path, payload_log=PayloadLog(1.0), payloads=payloads(tmp_path))
        watch.ended(exchange(body=b'{"inputs": [[1]]}'))
        watch.ended(exchange(422, error="wrong_inputs", body=b"\xff", answer=b"no", headers=()))
        watch.close()
        frame = kept(tmp_path).sort_values("status")
        assert list(frame.columns)[: len(fields(Payload))] == [field.name for field in fields(Payload)]
        first, second = frame.to_dict("records")
        assert (first["request_id"], first["traceparent"], first["inputs"]) == ("r-1", TRACE, '{"inputs": [[1]]}')
        assert (first["outputs"], first["model_version"], first["protocol"]) == ('{"predictions": [1]}', "1", "raylift")
        assert first["latency_ms"] == pytest.approx(1.0)
        assert abs(datetime.now(UTC) - first["time"].to_pydatetime()) < timedelta(hours=1)
        assert pd.isna(second["inputs"])
        assert (second["error"], second["inputs_bytes"], second["request_id"]) == ("wrong_inputs", 1, "")
        assert counted(tmp_path).of(counters.PAYLOADS_WRITTEN) == 2

    def test_large_bodies_are_omitted(self, tmp_path: Path) -> None:
        watch = observer(tmp_path, payload_log=PayloadLog(1.0, max_body_bytes=10), payloads=payloads(tmp_path))
        watch.ended(exchange(body=b"x" * 11, answer=b"y" * 10))
        watch.close()
        (row,) = kept(tmp_path).to_dict("records")
        assert (pd.isna(row["inputs"]), row["inputs_bytes"], row["outputs"]) == (True, 11, "y" * 10)

    def test_sample_rate_keeps_its_share(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = iter([0.1, 0.3, 0.25, 0.2])
        monkeypatch.setattr(payload_log.random, "random", lambda: next(numbers))
        watch = observer(tmp_path, payload_log=PayloadLog(0.25), payloads=payloads(tmp_path))
        for number in range(4):
            watch.ended(exchange(body=str(number).encode()))
        watch.close()
        assert list(kept(tmp_path)["inputs"]) == ["0", "3"]

    def test_payload_log_is_ended_and_started_at_run_time(self, tmp_path: Path) -> None:
        watch = observer(tmp_path, payload_log=PayloadLog(1.0), payloads=payloads(tmp_path))
        watch.ended(exchange(body=b"first"))
        watch.configure(ObserverConfig(payloads=payloads(tmp_path)))
        watch.ended(exchange(body=b"second"))
        watch.close()
        assert list(kept(tmp_path)["inputs"]) == ["first"]

    def test_full_list_drops_payloads_and_counts_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payload_log, "_MAX_BUFFERED", 2)
        watch = observer(tmp_path, payload_log=PayloadLog(1.0), payloads=payloads(tmp_path))
        for _ in range(5):
            watch.ended(exchange())
        watch.close()
        seen = counted(tmp_path)
        assert (seen.of(counters.PAYLOADS_WRITTEN), seen.of(counters.PAYLOADS_DROPPED)) == (2, 3)

    def test_failed_writes_are_counted_and_affect_no_request(self, tmp_path: Path) -> None:
        (tmp_path / "payloads").touch()
        watch = observer(tmp_path, payload_log=PayloadLog(1.0), payloads=payloads(tmp_path))
        watch.ended(exchange())
        watch.close()
        assert counted(tmp_path).of(counters.PAYLOADS_DROPPED) == 1


class TestFiles:
    def test_odd_model_names_stay_below_the_root(self, tmp_path: Path) -> None:
        names = ("..", "a/b", "ü" * 250, ".", "churn")
        directories = {version_directory(tmp_path, name, "1") for name in names}
        assert len(directories) == len(names)
        assert all(directory.resolve().parent.parent == tmp_path.resolve() for directory in directories)

    def test_old_and_excess_files_are_removed(self, tmp_path: Path) -> None:
        row = Payload("r", datetime.now(UTC), "m", "1", "raylift", 200, None, 1.0, 1, "{}", "{}", 2, 2, None)
        files = [write_payloads(tmp_path, [row]) for _ in range(3)]
        size = files[0].stat().st_size
        assert remove_payloads(tmp_path, before=datetime.now(UTC) - timedelta(days=1), max_bytes=None) == 0
        assert remove_payloads(tmp_path, before=None, max_bytes=2 * size + size // 2) == 1
        assert remove_payloads(tmp_path, before=datetime.now(UTC) + timedelta(days=1), max_bytes=None) == 2
        # The directory of the version stays: its processes cannot make it again.
        assert list(tmp_path.rglob("*")) == [tmp_path / "m", tmp_path / "m" / "1"]

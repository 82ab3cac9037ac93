"""The platform's copy of an attempt on another node, and the courier that fills it."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_entrypoints.courier.contact import Contact, now
from job_entrypoints.courier.courier import Courier
from job_entrypoints.courier.gateway import Refused, Unreachable
from job_entrypoints.courier.node_directory import unpack
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.mirror import Mirror, contact_with

ENDED = {"state": "finished", "outcome": "exited"}


@pytest.fixture
def directory(tmp_path: Path) -> AttemptDirectory:
    return fetched(tmp_path)


def fetched(folder: Path) -> AttemptDirectory:
    """An attempt's directory whose bundle a node has fetched."""
    directory = AttemptDirectory(folder, "job_A-a1")
    (directory.path / "source").mkdir(parents=True)
    (directory.path / "source" / "train.py").write_text("print(1)\n")
    (directory.path / "attempt.json").write_text(json.dumps({"contact_seconds": 20, "environment": {"KEY": "secret"}}))
    Mirror(directory, 1000).begin("worker-2")
    return directory


def test_bundle_has_what_the_wrapper_needs_and_no_links(directory: AttemptDirectory, tmp_path: Path) -> None:
    work = directory.path / "work"
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "large.bin").write_bytes(os.urandom(700_001))
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "link").symlink_to("/etc/passwd")
    (directory.path / "output.log").write_text("not part of it")
    local = tmp_path / "local"
    local.mkdir()
    unpack(io.BytesIO(b"".join(Mirror(directory, 1000).bundle())), str(local))
    found = {str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()}
    assert found == {"attempt.json", "source/train.py", "work/deep/large.bin", "work/run.sh"}
    assert (local / "work/deep/large.bin").read_bytes() == (work / "deep" / "large.bin").read_bytes()
    assert os.access(local / "work/run.sh", os.X_OK)


def test_bundle_that_is_cut_off_is_no_attempt(directory: AttemptDirectory, tmp_path: Path) -> None:
    pieces = b"".join(Mirror(directory, 1000).bundle())
    for size in range(0, len(pieces) - 2048, 512):
        local = tmp_path / str(size)
        local.mkdir()
        try:
            unpack(io.BytesIO(pieces[:size]), str(local))
        except (OSError, tarfile.TarError):
            continue
        assert not (local / "attempt.json").exists()


def test_bytes_that_come_again_are_left_out(directory: AttemptDirectory) -> None:
    mirror = Mirror(directory, 1000)
    assert mirror.take(0, b"hello ", None, None) == 6
    assert mirror.take(0, b"hello world", None, None) == 11
    assert mirror.take(3, b"lo", None, None) == 11
    assert mirror.take(50, b"later", ENDED, None) == 11
    assert directory.output().read_bytes() == b"hello world"
    assert directory.progress() is None, "the end came with bytes that are missing"


def test_log_is_held_to_its_limit(directory: AttemptDirectory) -> None:
    mirror = Mirror(directory, 1000)
    assert mirror.take(0, bytes(3 << 20), None, None) == 1000 + 2**20
    assert mirror.take(1000 + 2**20, b"more", None, None) == 1000 + 2**20


def test_late_message_does_not_take_back_the_end(directory: AttemptDirectory) -> None:
    mirror = Mirror(directory, 1000)
    mirror.take(0, b"", ENDED | {"finished_at": 1.0}, None)
    mirror.take(0, b"", {"state": "started", "script_started_at": 1.0}, None)
    found = directory.progress()
    assert found is not None
    assert found.outcome is not None


def test_start_of_the_script_removes_the_variables(directory: AttemptDirectory) -> None:
    mirror = Mirror(directory, 1000)
    mirror.take(0, b"", None, None)
    assert "secret" in (directory.path / "attempt.json").read_text(), "an answer may be lost: then the node fetches it again"
    mirror.take(0, b"", {"state": "started", "script_started_at": 1.0}, None)
    assert "secret" not in (directory.path / "attempt.json").read_text()


def test_each_message_renews_the_contact(directory: AttemptDirectory) -> None:
    os.utime(directory.path / "contact.json", (1000, 1000))
    contact = contact_with(directory.path)
    assert contact is not None
    assert (contact.host, contact.limit) == ("worker-2", timedelta(seconds=20))
    assert contact.ended_by == datetime.fromtimestamp(1035, UTC)
    Mirror(directory, 1000).take(0, b"", None, None)
    renewed = contact_with(directory.path)
    assert renewed is not None
    assert renewed.heard_at > contact.heard_at
    assert contact_with(directory.path.parent) is None


class Line:
    """A gateway that loses, delays and repeats messages, as ``faults`` says."""

    def __init__(self, mirror: Mirror, faults: list[str]) -> None:
        self._mirror = mirror
        self._faults = faults
        self._late: list[Callable[[], int]] = []

    def report(self, message: dict[str, Any], log: bytes) -> dict[str, Any]:
        def deliver() -> int:
            return self._mirror.take(message["offset"], log, message["progress"], message["usage"])

        match self._faults.pop(0) if self._faults else "none":
            case "lost":
                raise Unreachable
            case "answer lost":
                deliver()
                raise Unreachable
            case "late":
                self._late.append(deliver)
                raise Unreachable
            case "others arrive first":
                for late in self._late:
                    late()
            case _:
                pass
        return {"have": deliver(), "stop": self._mirror.stop()}


FAULTS = ["none", "lost", "answer lost", "late", "others arrive first", "courier killed"]


@given(steps=st.lists(st.tuples(st.sampled_from(FAULTS), st.binary(max_size=40)), max_size=30))
def test_log_and_end_arrive_whole_whatever_is_lost(steps: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory, local = fetched(Path(folder)), Path(folder) / "local"
        local.mkdir()
        line = Line(Mirror(directory, 10_000), [fault for fault, _ in steps])
        contact = Contact(45, now())
        courier = Courier(str(local), line, contact)  # type: ignore[arg-type]
        with (local / "output.log").open("ab", buffering=0) as log:
            for fault, written in steps:
                log.write(written)
                if fault == "courier killed":
                    courier = Courier(str(local), line, contact)  # type: ignore[arg-type]
                try:
                    courier.send(with_end=False)
                except Unreachable:
                    continue
        (local / "progress.json").write_text(json.dumps(ENDED | {"finished_at": 1.0}))
        assert Courier(str(local), line, contact).deliver()  # type: ignore[arg-type]
        assert directory.output().read_bytes() == b"".join(written for _, written in steps)
        found = directory.progress()
        assert found is not None
        assert found.outcome == "exited"


def test_refusal_of_an_attempt_that_is_over_loses_the_contact(tmp_path: Path) -> None:
    class Over:
        def report(self, *_: object) -> None:
            raise Refused(409, "gone on", "attempt_over")

    contact = Contact(45, now())
    assert Courier(str(tmp_path), Over(), contact).send(with_end=False)  # type: ignore[arg-type]
    assert contact.is_over
    assert "given this attempt up" in contact.sentence()


def test_wrong_token_is_no_contact_but_no_end_either(tmp_path: Path) -> None:
    class Closed:
        def report(self, *_: object) -> None:
            raise Refused(401, "token", "unauthenticated")

    contact = Contact(45, now())
    with pytest.raises(Unreachable):
        Courier(str(tmp_path), Closed(), contact).send(with_end=False)  # type: ignore[arg-type]
    assert not contact.is_over


def test_stop_becomes_a_file_of_the_node(directory: AttemptDirectory, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    directory.request_stop("the job was cancelled")
    Courier(str(local), Line(Mirror(directory, 1000), []), Contact(45, now())).send(with_end=False)  # type: ignore[arg-type]
    assert (local / "stop").read_text() == "the job was cancelled"

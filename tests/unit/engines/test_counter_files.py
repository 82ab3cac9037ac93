"""Counters survive the processes that counted, are never counted twice, and never decrease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import NAMES, ErrorKind, ProcessKind, ProtocolName, VersionCounts
from raylift.engines.metrics import counter_files
from raylift.engines.metrics.counter_files import (
    CounterFile,
    counters_directory,
    merge_dead,
    read_counts,
    remove_totals,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REQUESTS = counters.requests_of(ProtocolName.RAYLIFT)
DIED = counters.errors_of(ErrorKind.PROCESS_DIED)


def process(directory: Path, requests: int, *, finished: int | None = None, version: str = "1") -> CounterFile:
    file = CounterFile(directory, "m/odd name", version, ProcessKind.REPLICA, started_at=NOW)
    file.values[NAMES.index(REQUESTS)] += requests
    file.values[NAMES.index(counters.FINISHED)] += requests if finished is None else finished
    file.values[NAMES.index(counters.NOW_MEMORY_BYTES)] = 100.0
    return file


def one(directory: Path) -> VersionCounts:
    (counts,) = read_counts(directory)
    return counts


def test_counts_of_a_process_are_visible_at_once(tmp_path: Path) -> None:
    file = process(tmp_path, 3)
    assert one(tmp_path).requests == 3
    file.values[NAMES.index(REQUESTS)] += 1
    seen = one(tmp_path)
    assert (seen.requests, seen.ongoing, seen.now(counters.NOW_MEMORY_BYTES)) == (4, 1, 100)
    assert (seen.model_name, seen.version, seen.since) == ("m/odd name", "1", NOW)
    file.close()


def test_dead_process_keeps_its_counts_and_loses_its_gauges(tmp_path: Path) -> None:
    process(tmp_path, 3).close()
    alive = process(tmp_path, 2)
    seen = one(tmp_path)
    assert (seen.requests, seen.processes(ProcessKind.REPLICA), seen.now(counters.NOW_MEMORY_BYTES)) == (5, 1, 100)
    assert merge_dead(tmp_path) == 1
    assert (one(tmp_path).requests, len(list(tmp_path.glob("*/*.live")))) == (5, 1)
    alive.close()
    assert merge_dead(tmp_path) == 1
    assert merge_dead(tmp_path) == 0
    assert (one(tmp_path).requests, list(tmp_path.glob("*/*.live"))) == (5, [])


def test_open_requests_of_a_dead_process_are_errors(tmp_path: Path) -> None:
    process(tmp_path, 5, finished=3).close()
    for _ in range(2):
        seen = one(tmp_path)
        assert (seen.requests, seen.of(DIED), seen.errors, seen.ongoing) == (5, 2, 2, 0)
        merge_dead(tmp_path)


def test_killed_process_loses_no_counts(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.unit.engines.test_counter_files import process;"
        "file = process(Path(sys.argv[1]), 7); print('counted', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"counted\n"
        assert one(tmp_path).processes(ProcessKind.REPLICA) == 1
        assert merge_dead(tmp_path) == 0
        os.kill(running.pid, signal.SIGKILL)
    assert (one(tmp_path).requests, one(tmp_path).processes(ProcessKind.REPLICA)) == (7, 0)
    assert merge_dead(tmp_path) == 1
    assert one(tmp_path).requests == 7


def test_interrupted_fold_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 3).close()
    with monkeypatch.context() as broken:

        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise KeyboardInterrupt(self, missing_ok)

        broken.setattr(Path, "unlink", refuse)
        with pytest.raises(KeyboardInterrupt):
            merge_dead(tmp_path)
    assert (one(tmp_path).requests, len(list(tmp_path.glob("*/*.live")))) == (3, 1)
    merge_dead(tmp_path)
    assert (one(tmp_path).requests, len(list(tmp_path.glob("*/*.live")))) == (3, 0)


def test_reader_during_a_fold_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 5).close()
    merge_dead(tmp_path)
    process(tmp_path, 4).close()
    files = counter_files._files

    def listed(directory: Path, suffix: str) -> object:
        if suffix == ".totals":
            # Another process folds between the reads of the processes' files and of the totals.
            monkeypatch.setattr(counter_files, "_files", files)
            merge_dead(directory)
        return files(directory, suffix)

    monkeypatch.setattr(counter_files, "_files", listed)
    assert one(tmp_path).requests == 9


def test_versions_are_counted_separately(tmp_path: Path) -> None:
    process(tmp_path, 1).close()
    process(tmp_path, 2, version="2").close()
    assert sorted(counts.requests for counts in read_counts(tmp_path)) == [1, 2]
    (second,) = read_counts(tmp_path, ("m/odd name", "2"))
    assert second.requests == 2
    assert read_counts(tmp_path, ("m", "2")) == []


def test_other_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "x.live").write_bytes(b"rubbish")
    (tmp_path / "y.totals").write_bytes(b"{}\n")
    process(tmp_path, 1).close()
    assert one(tmp_path).requests == 1


def test_counts_of_deleted_versions_are_removed_later(tmp_path: Path) -> None:
    process(tmp_path, 1).close()
    process(tmp_path, 2, version="2").close()
    merge_dead(tmp_path)
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    assert remove_totals(tmp_path, [("m/odd name", "2")], unchanged_since=earlier) == 0
    assert remove_totals(tmp_path, [("m/odd name", "2")], unchanged_since=later) == 1
    assert one(tmp_path).version == "2"


def test_missing_directory_has_no_counts(tmp_path: Path) -> None:
    assert read_counts(tmp_path / "none") == []
    assert merge_dead(tmp_path / "none") == 0


def test_process_of_a_version_cannot_count_for_another(tmp_path: Path) -> None:
    honest, hostile = process(tmp_path, 3), process(tmp_path, 2, version="2")
    (own,), (others,) = (list(tmp_path.glob(f"{directory.name}/*.live")) for directory in _directories(tmp_path))
    forged = own.read_bytes().replace(b'"version": "2"', b'"version": "1"')
    own.with_name(f"{own.parent.name}.forged.live").write_bytes(forged)
    own.with_name(others.name).write_bytes(others.read_bytes())
    own.with_name(f"{own.parent.name}.linked.live").symlink_to(others)
    assert {counts.version: counts.requests for counts in read_counts(tmp_path)} == {"1": 3, "2": 2}
    honest.close()
    hostile.close()
    merge_dead(tmp_path)
    assert {counts.version: counts.requests for counts in read_counts(tmp_path)} == {"1": 3, "2": 2}


def _directories(root: Path) -> list[Path]:
    """Directories of version 2 and of version 1."""
    return [counters_directory(root, "m/odd name", version) for version in ("2", "1")]


def test_counts_of_an_older_release_are_kept(tmp_path: Path) -> None:
    file = process(tmp_path, 3)
    (path,) = tmp_path.glob("*/*.live")
    path.rename(tmp_path / path.name)
    file.close()
    assert one(tmp_path).requests == 3
    assert merge_dead(tmp_path) == 1
    assert one(tmp_path).requests == 3

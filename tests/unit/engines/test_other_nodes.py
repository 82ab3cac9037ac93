"""Counters and payload logs of other nodes count once, also where a process or its node ends in between."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import NAMES, ProcessKind, ProtocolName, VersionCounts
from raylift.engines.metrics.counter_files import CounterFile, merge_dead, read_counts
from raylift.engines.metrics.other_nodes import (
    PayloadFile,
    ProcessFile,
    changed_processes,
    end_processes_of_gone,
    forget_payload_files,
    forget_processes,
    keep_payload_file,
    keep_process,
    payload_files,
)

REQUESTS = NAMES.index(counters.requests_of(ProtocolName.RAYLIFT))
FINISHED = NAMES.index(counters.FINISHED)
NODE = "a1b2"
LOG = "churn/3/date=2026-01-02/120000-0123456789ab.parquet"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Directory of the other node."""
    return tmp_path / "there"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def replica(directory: Path) -> CounterFile:
    return CounterFile(directory, "churn", "3", ProcessKind.REPLICA, started_at=datetime(2026, 1, 2, tzinfo=UTC))


def answer(file: CounterFile, requests: int) -> None:
    file.values[REQUESTS] += requests
    file.values[FINISHED] += requests


def copy(there: Path, here: Path) -> list[str]:
    """Copy once, and return the processes that have ended."""
    found = changed_processes(there, {})
    for process in found:
        keep_process(here, NODE, process)
    return [process.name for process in found if not process.is_alive]


def one(directory: Path) -> VersionCounts:
    (found,) = read_counts(directory)
    return found


def test_counts_of_another_node_are_added_to_those_of_this_one(there: Path, here: Path) -> None:
    own, other = replica(here), replica(there)
    answer(own, 2)
    answer(other, 3)
    copy(there, here)
    assert (one(here).requests, one(here).processes(ProcessKind.REPLICA)) == (5, 2)
    answer(other, 1)
    copy(there, here)
    assert merge_dead(here) == 0
    assert (one(here).requests, one(here).processes(ProcessKind.REPLICA)) == (6, 2)


def test_unchanged_counters_are_not_sent_again(there: Path) -> None:
    file = replica(there)
    (first,) = changed_processes(there, {})
    known = {first.name: first.mark}
    assert changed_processes(there, known) == []
    answer(file, 1)
    assert len(changed_processes(there, known)) == 1
    known = {each.name: each.mark for each in changed_processes(there, {})}
    file.close()
    (ended,) = changed_processes(there, known)
    assert not ended.is_alive


def test_ended_process_counts_once_however_often_it_is_handed_over(there: Path, here: Path) -> None:
    file = replica(there)
    answer(file, 3)
    copy(there, here)
    answer(file, 1)
    file.close()
    name = ""
    for _ in range(2):
        (name,) = copy(there, here)
        assert (one(here).requests, one(here).processes(ProcessKind.REPLICA)) == (4, 0)
        assert merge_dead(here) == 1
        assert one(here).requests == 4
    forget_processes(there, [name])
    assert changed_processes(there, {}) == []
    assert not list(here.glob("*/*.remote"))


def test_processes_of_a_node_that_is_gone_keep_their_last_counts(there: Path, here: Path) -> None:
    file = replica(there)
    answer(file, 3)
    copy(there, here)
    assert end_processes_of_gone(here, {NODE}) == 0
    assert end_processes_of_gone(here, {"c3d4"}) == 1
    assert (one(here).requests, one(here).processes(ProcessKind.REPLICA)) == (3, 0)
    assert merge_dead(here) == 1
    assert one(here).requests == 3


def test_finished_payload_files_move(there: Path, here: Path) -> None:
    for name in (LOG, LOG.replace("12000", "13000"), LOG.replace(".parquet", ".new")):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(b"12345")
    assert [file.path for file in payload_files(there, max_bytes=1)] == [LOG]
    found = payload_files(there, max_bytes=100)
    assert len(found) == 2
    for file in found:
        keep_payload_file(here, file)
    forget_payload_files(there, [file.path for file in found])
    assert payload_files(there, max_bytes=100) == []
    assert (here / LOG).read_bytes() == b"12345"
    assert (here / LOG).stat().st_mode & 0o777 == 0o600


def test_links_of_a_model_are_not_followed(there: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "120000-0123456789ab.parquet").write_text("token")
    (there / "churn" / "3" / "date=2026-01-02").mkdir(parents=True)
    (there / LOG).symlink_to(secret / "120000-0123456789ab.parquet")
    (there / "churn" / "3" / "date=2026-01-03").symlink_to(secret)
    assert payload_files(there, max_bytes=100) == []
    file = replica(there)
    (path,) = there.glob("*/*.live")
    path.rename(secret / path.name)
    path.symlink_to(secret / path.name)
    assert changed_processes(there, {}) == []
    file.close()


@pytest.mark.parametrize("path", ["../../x", "churn/../date=2026-01-02/120000-0123456789ab.parquet", f"/{LOG}", "a/b/c"])
def test_other_names_are_refused(here: Path, path: str) -> None:
    with pytest.raises(ValueError, match="is no file of"):
        keep_payload_file(here, PayloadFile(path, b""))
    with pytest.raises(ValueError, match="is no file of"):
        keep_process(here, NODE, ProcessFile(path, b"", is_alive=True))
    assert not here.exists()

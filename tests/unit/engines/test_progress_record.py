from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.attempt.progress import Progress as Writer
from job_entrypoints.attempt.progress import Usage
from job_entrypoints.contract import EXITED, OUTCOMES
from raylift.engines.attempts.progress import Outcome, read_progress

STARTED: dict[str, Any] = {"state": "started", "script_started_at": 1.8e9, "wrapper_pid": 7, "script_pid": 8, "host": "h"}
FINISHED: dict[str, Any] = {"state": "finished", "outcome": "exited", "exit_code": 0, "finished_at": 1.8e9}
FORGED = {
    "nothing": b"",
    "half of it": b'{"state": "sta',
    "deeper than a parser goes": b"[" * 500_000,
    "a list": b"[]",
    "another state": json.dumps(STARTED | {"state": "done"}).encode(),
    "no time": json.dumps({"state": "started"}).encode(),
    "after the end of time": json.dumps(STARTED | {"script_started_at": 1e300}).encode(),
    "in the year 9999": json.dumps(STARTED | {"script_started_at": 253402300799}).encode(),
    "no number": json.dumps(STARTED | {"script_started_at": float("nan")}).encode(),
    "a process that cannot be": json.dumps(STARTED | {"wrapper_pid": -1}).encode(),
    "an exit code of words": json.dumps(FINISHED | {"exit_code": "zero"}).encode(),
    "an exit code that no column holds": json.dumps(FINISHED | {"exit_code": 10**30}).encode(),
    "an outcome of its own": json.dumps(FINISHED | {"outcome": "won"}).encode(),
    "a usage of words": json.dumps(FINISHED | {"usage": {"cpu_seconds": "much"}}).encode(),
    "an endless usage": json.dumps(FINISHED | {"usage": {"wall_seconds": float("inf")}}).encode(),
    "a limit held by nobody": json.dumps(FINISHED | {"usage": {"memory_enforced_by": "me"}}).encode(),
}


@pytest.mark.parametrize("name", FORGED)
def test_malformed_record_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        read_progress(FORGED[name])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_record_of_the_wrapper_is_read(tmp_path: Path, outcome: str) -> None:
    writer, usage = Writer(str(tmp_path)), Usage()
    writer.started(8)
    begun = read_progress((tmp_path / "progress.json").read_bytes())
    assert begun.outcome is None
    assert begun.wrapper_pid is not None

    usage.cpu_seconds, usage.peak_memory_bytes, usage.memory_enforced_by = 1.5, 2**40, "watchdog"
    code = 7 if outcome == EXITED else None
    writer.finished(outcome, exit_code=code, message="x" * 10_000, usage=usage)
    ended = read_progress((tmp_path / "progress.json").read_bytes())
    assert (ended.outcome, ended.exit_code, ended.script_started_at) == (Outcome(outcome), code, begun.script_started_at)
    assert ended.usage is not None
    assert (ended.usage.cpu_seconds, ended.usage.peak_memory_bytes, ended.usage.memory_enforced_by) == (1.5, 2**40, "watchdog")
    assert ended.message is not None
    assert len(ended.message) < 10_000

"""Two supervisors in processes of their own: one acts, and the other one takes over from a killed or frozen one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from raylift.domain.lease import SUPERVISOR
from raylift.store import Store
from tests.contract.samples import SCRIPT, spec_of

LEASE_SECONDS = 5.0
Process = subprocess.Popen[bytes]


class Pair:
    """Supervisors on one store, and what they started."""

    def __init__(self, store: Store, arguments: list[str], lines: Path) -> None:
        self._store, self._arguments, self._lines = store, arguments, lines
        self.running: dict[int, Process] = {}
        self.submitted = 0

    def begin(self) -> None:
        process = subprocess.Popen([sys.executable, "-m", "tests.contract.standby_supervisor", *self._arguments])
        self.running[process.pid] = process

    def started(self) -> list[tuple[str, int]]:
        lines = self._lines.read_text(encoding="ascii").splitlines() if self._lines.exists() else []
        return [(job_id, int(pid)) for job_id, pid in map(str.split, lines)]

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.submitted += 1
            self._store.jobs.add(spec_of(), SCRIPT, job_id=f"job_{self.submitted:03}", now=datetime.now(UTC))

    def holder(self) -> Process:
        """Return the process that holds the lease."""
        found: list[Process] = []

        def holds() -> bool:
            lease = self._store.leases.held(SUPERVISOR, now=datetime.now(UTC))
            found[:] = [] if lease is None else [self.running[int(lease.holder)]]
            return bool(found)

        patiently(holds)
        return found[0]


@contextmanager
def pair(store: Store, url: str, folder: Path) -> Iterator[Pair]:
    lines = folder / "lines"
    supervisors = Pair(store, [url, str(folder / "keys"), str(LEASE_SECONDS), str(lines)], lines)
    try:
        supervisors.begin()
        supervisors.begin()
        yield supervisors
    finally:
        for process in supervisors.running.values():
            process.kill()
            process.wait()


def patiently(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_standby_takes_over_from_a_killed_supervisor(
    open_store: Callable[[], Store], database_url: str, tmp_path: Path
) -> None:
    with pair(open_store(), database_url, tmp_path) as supervisors:
        supervisors.submit(20)
        patiently(lambda: len(supervisors.started()) > 3)
        first = supervisors.holder()
        first.kill()
        first.wait()
        supervisors.submit(20)
        # A kill between the transition and the line loses the line of one job.
        patiently(lambda: len(supervisors.started()) >= supervisors.submitted - 1)
        ids = [job_id for job_id, _ in supervisors.started()]
        assert len(set(ids)) == len(ids)
        assert {pid for _, pid in supervisors.started()} == set(supervisors.running)


def test_frozen_supervisor_that_wakes_up_does_nothing_and_ends(
    open_store: Callable[[], Store], database_url: str, tmp_path: Path
) -> None:
    with pair(open_store(), database_url, tmp_path) as supervisors:
        supervisors.submit(30)
        patiently(lambda: len(supervisors.started()) > 3)
        first = supervisors.holder()
        first.send_signal(signal.SIGSTOP)
        patiently(lambda: len({pid for _, pid in supervisors.started()}) == 2)
        supervisors.submit(30)
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 3
        patiently(lambda: len(supervisors.started()) >= supervisors.submitted - 1)
        ids = [job_id for job_id, _ in supervisors.started()]
        assert len(set(ids)) == len(ids)

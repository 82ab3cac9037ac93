"""A process with the supervisor's loop on a store. It starts queued jobs: a guarded transition, and a line in a file.

Arguments: the database's URL, the file of its keys, the lease's seconds, and the file of lines.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from raylift.domain.job import JobState, Resources
from raylift.domain.lease import Lease
from raylift.settings import SupervisorSettings
from raylift.store import KeyRing, Store
from raylift.supervisor.loop import Subjects, Supervisor
from raylift.supervisor.serial_tasks import TaskThreads
from raylift.supervisor.store_view import StoreView

GIB = 2**30


def now() -> datetime:
    return datetime.now(UTC)


class Starter:
    """Starts each waiting job, as slowly as Ray does."""

    def __init__(self, store: Store, view: StoreView, lines: Path) -> None:
        self.rooms = [Resources(64.0, 64 * GIB)]
        self.nodes_are_old = False
        self._store, self._view, self._lines = store, view, lines

    def start(self, lease: Lease) -> None:
        for queued in self._view.waiting:
            job = self._store.jobs.get(queued.job_id)
            self._store.jobs.move(lease, job, JobState.STARTING, now=now(), submission_id=f"{job.job_id}-a{job.attempt}")
            with self._lines.open("a", encoding="ascii") as file:
                file.write(f"{job.job_id} {os.getpid()}\n")
            time.sleep(0.05)


class Nothing:
    def watch(self, lease: Lease) -> None: ...
    def notice_change(self) -> None: ...


def main(url: str, keys: str, lease_seconds: str, lines: str) -> None:
    store = Store.open(url, KeyRing(Path(keys)))
    view, nothing = StoreView(store), cast("Any", Nothing())
    starter = cast("Any", Starter(store, view, Path(lines)))
    Supervisor(
        SupervisorSettings(lease_seconds=float(lease_seconds), tick_seconds=0.05),
        holder=str(os.getpid()),
        store=store,
        view=view,
        subjects=Subjects(starter, nothing, nothing, nothing, ()),
        tasks=TaskThreads().runner(time.monotonic),
        clock=now,
        monotonic=time.monotonic,
    ).run(threading.Event())
    os._exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Threads and processes that use the store at once. Only the database orders them: no test sleeps."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from raylift.domain.errors import IdempotencyMismatch, JobNotFound, NotFound, StaleJob, StaleLease
from raylift.domain.job import Job, JobState, JobStatus
from raylift.domain.lease import Lease
from raylift.store import IdempotencyKey, JobFilter, Store
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of, start

T = TypeVar("T")

ACQUIRE = """
import sys
from datetime import datetime
from raylift.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
now = datetime.fromisoformat(sys.stdin.readline().strip())
lease = store.leases.acquire("supervisor", sys.argv[2], now=now, seconds=15)
print(lease.token if lease else "none")
"""

UPLOAD = """
import sys
from datetime import UTC, datetime
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import JobSpec
from raylift.store import Store
import hashlib
store = Store.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(50):
    script = f"print({n % 5})".encode()
    spec = JobSpec(hashlib.sha256(script).hexdigest(), "train.py", "churn")
    store.jobs.add(spec, script, job_id=new_job_id(), now=datetime.now(UTC))
"""


def at_once(acts: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Start all calls at the same moment. Returns the result or the exception of each."""
    line = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T | Exception:
        line.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 (the caller checks it)
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def processes_at_once(code: str, arguments: list[list[str]], word: str) -> list[str]:
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for given in arguments
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs: list[str] = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(word + "\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        outputs.append(output.strip())
    return outputs


def test_one_of_many_threads_gets_the_lease(open_store: Callable[[], Store]) -> None:
    stores = [open_store() for _ in range(8)]
    for round_ in range(5):

        def acquire(store: Store, round_: int = round_) -> Lease | None:
            return store.leases.acquire("supervisor", f"{round_} {id(store)}", now=after(round_ * 100), seconds=15)

        got = at_once([lambda s=s, acquire=acquire: acquire(s) for s in stores])
        assert [lease.token for lease in got if isinstance(lease, Lease)] == [round_ + 1]
        assert got.count(None) == 7


def test_one_of_several_processes_gets_the_lease(database_url: str, store: Store) -> None:
    got = processes_at_once(ACQUIRE, [[database_url, f"p{n}"] for n in range(4)], NOW.isoformat())
    assert sorted(got) == ["1", "none", "none", "none"]


def test_uploads_of_several_processes_meet_no_locked_database(database_url: str, store: Store) -> None:
    processes_at_once(UPLOAD, [[database_url]] * 3, "go")
    assert store.jobs.count_by_status()[JobStatus.QUEUED] == 150


def test_concurrent_uploads_with_one_key_make_one_job(open_store: Callable[[], Store], store: Store) -> None:
    stores = [open_store() for _ in range(8)]
    for round_ in range(10):
        key = IdempotencyKey(f"k{round_}", "body", expires_at=after(3600))
        # The same for an expired key.
        old = IdempotencyKey(f"k{round_}", "old", expires_at=after(-1))
        add(store, now=after(-2), idempotency=old)
        jobs = at_once([lambda s=s, k=key: add(s, idempotency=k) for s in stores])
        assert len({job.job_id for job in jobs if isinstance(job, Job)}) == 1
        assert len([job for job in jobs if isinstance(job, Job)]) == 8
    assert store.jobs.count_by_status()[JobStatus.QUEUED] == 20


def test_concurrent_uploads_of_two_bodies_with_one_key_make_one_job(open_store: Callable[[], Store], store: Store) -> None:
    stores = [open_store() for _ in range(8)]
    keys = [IdempotencyKey("k", f"body{n % 2}", expires_at=after(3600)) for n in range(8)]
    outcomes = at_once([lambda s=s, k=k: add(s, idempotency=k) for s, k in zip(stores, keys, strict=True)])
    assert len([o for o in outcomes if isinstance(o, IdempotencyMismatch)]) == 4
    assert len({o.job_id for o in outcomes if isinstance(o, Job)}) == 1
    assert len(store.jobs.list(JobFilter(), limit=9).jobs) == 1


def test_one_of_many_concurrent_moves_is_made(open_store: Callable[[], Store], store: Store, lease: Lease) -> None:
    stores = [open_store() for _ in range(8)]
    for _ in range(5):
        job = add(store)
        outcomes = at_once([lambda s=s, j=job: start(s, lease, j) for s in stores])
        assert len([o for o in outcomes if isinstance(o, Job)]) == 1
        assert len([o for o in outcomes if isinstance(o, StaleJob)]) == 7
        assert [e.after for e in store.jobs.events(job.job_id)] == [JobState.QUEUED, JobState.STARTING]


def test_cancel_during_a_move_is_not_lost(open_store: Callable[[], Store], store: Store, lease: Lease) -> None:
    canceller, mover = open_store(), open_store()
    for _ in range(20):
        job = add(store)
        asked, moved = at_once(
            [
                lambda j=job: canceller.jobs.request_cancel(j.job_id, now=after(1)),
                lambda j=job: mover.jobs.move(lease, j, JobState.STARTING, now=after(1), submission_id="s"),
            ]
        )
        assert isinstance(asked, Job)
        assert isinstance(moved, Job)
        both = store.jobs.get(job.job_id)
        assert (both.state, both.cancel_requested_at) == (JobState.STARTING, after(1))


def test_cancel_during_the_last_move_is_kept_or_refused(open_store: Callable[[], Store], store: Store, lease: Lease) -> None:
    canceller, mover = open_store(), open_store()
    for _ in range(20):
        job = add(store)
        outcomes = at_once(
            [
                lambda j=job: canceller.jobs.request_cancel(j.job_id, now=after(1)),
                lambda j=job: mover.jobs.move(lease, j, JobState.FAILED, now=after(1)),
            ]
        )
        assert all(isinstance(outcome, Job) for outcome in outcomes)
        assert store.jobs.get(job.job_id).state is JobState.FAILED


def test_move_during_a_takeover_is_seen_or_refused(open_store: Callable[[], Store], store: Store) -> None:
    """The move comes first and the new supervisor sees it, or it is refused. No write follows the takeover."""
    old, new = open_store(), open_store()
    for round_ in range(20):
        held = store.leases.acquire("supervisor", f"old{round_}", now=after(round_ * 100), seconds=15)
        assert held is not None
        job = add(store)

        def take_over(job: Job = job, n: int = round_) -> JobState:
            assert new.leases.acquire("supervisor", f"new{n}", now=after(n * 100 + 50), seconds=15) is not None
            return new.jobs.get(job.job_id).state

        seen, moved = at_once([take_over, lambda j=job, held=held: start(old, held, j).state])
        assert isinstance(moved, JobState | StaleLease)
        after_all = store.jobs.get(job.job_id).state
        assert seen is after_all
        assert after_all is (JobState.QUEUED if isinstance(moved, StaleLease) else JobState.STARTING)


def test_script_of_a_new_job_survives_the_delete_of_an_old_job(
    open_store: Callable[[], Store], store: Store, lease: Lease
) -> None:
    deleter, uploader = open_store(), open_store()
    for _ in range(20):
        old = finish(store, lease, add(store))
        deleted, added = at_once([lambda j=old: deleter.jobs.delete(j.job_id), lambda: add(uploader)])
        assert isinstance(deleted, Job)
        assert isinstance(added, Job)
        assert store.jobs.script(added.spec.script_sha256) == SCRIPT
        store.jobs.delete(finish(store, lease, added).job_id)
        with pytest.raises(NotFound):
            store.jobs.script(added.spec.script_sha256)


def test_one_of_many_concurrent_deletes_is_made(open_store: Callable[[], Store], store: Store, lease: Lease) -> None:
    stores = [open_store() for _ in range(4)]
    for _ in range(5):
        done = finish(store, lease, add(store))
        outcomes = at_once([lambda s=s, j=done: s.jobs.delete(j.job_id) for s in stores])
        assert outcomes.count(done) == 1
        assert len([o for o in outcomes if isinstance(o, JobNotFound)]) == 3


def test_one_of_many_concurrent_adoptions_is_made(open_store: Callable[[], Store]) -> None:
    stores = [open_store() for _ in range(4)]
    adopted = at_once([lambda s=s: s.jobs.adopt(spec_of(), SCRIPT, job_id="job_1", submission_id="1", now=NOW) for s in stores])
    assert len([job for job in adopted if isinstance(job, Job)]) == 1
    assert adopted.count(None) == 3


def test_queue_position_is_right_while_jobs_leave_the_queue(
    open_store: Callable[[], Store], store: Store, lease: Lease
) -> None:
    jobs = [add(store, now=after(n)) for n in range(20)]
    last = jobs[-1]
    readers = [open_store() for _ in range(3)]

    def positions(reader: Store) -> list[int | None]:
        return [reader.jobs.queue_position(last) for _ in range(20)]

    def admit() -> list[int | None]:
        for job in jobs[:-1]:
            start(store, lease, job)
        return []

    for seen in at_once([admit, *(lambda r=r: positions(r) for r in readers)]):
        assert isinstance(seen, list)
        assert seen == sorted(seen, key=lambda p: -(p or 0))
    assert store.jobs.queue_position(last) == 1

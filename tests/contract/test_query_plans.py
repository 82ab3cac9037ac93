"""Every frequent query reads a range of an index. The database's own query plan proves it, without a stopwatch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from raylift.domain.job import JobState, JobStatus, Resources
from raylift.store import JobFilter, Store
from raylift.store.statements.pages import encode_cursor
from tests.contract.samples import NOW, add, after, spec_of

CURSOR = encode_cursor(after(1000), "job_5")

LISTS = [
    JobFilter(),
    JobFilter(status=JobStatus.RUNNING),
    JobFilter(model_name="m"),
    JobFilter(experiment_name="e"),
    JobFilter(status=JobStatus.FAILED, model_name="m"),
    JobFilter(status=JobStatus.FAILED, experiment_name="e"),
    JobFilter(owner="ann"),
    JobFilter(status=JobStatus.QUEUED, owner="ann"),
    JobFilter(tag=("team", "red")),
    JobFilter(tag=("team", None)),
]


@contextmanager
def recorded(store: Store) -> Generator[list[tuple[str, object]]]:
    statements: list[tuple[str, object]] = []

    def record(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if re.match(r"SELECT (?!1)|UPDATE|DELETE", statement):
            statements.append((statement, parameters))

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", record)
    yield statements
    event.remove(engine, "before_cursor_execute", record)


def plan_of(store: Store, statement: str, parameters: object) -> str:
    with store._database.write() as session:
        connection = session.connection()
        if store.supports_many_nodes:
            # The test's tables are small. Without this setting, the planner would rightly read and sort whole tables.
            for way in ("seqscan", "bitmapscan", "sort"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
            (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).one()  # pyright: ignore[reportArgumentType]
            return json.dumps(plan)
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()  # pyright: ignore[reportArgumentType]
        return "; ".join(row.detail for row in rows)


def check(store: Store, act: Callable[[], object]) -> None:
    with recorded(store) as statements:
        act()
    assert statements
    for statement, parameters in statements:
        plan = plan_of(store, statement, parameters)
        # SQLite: no sort, and no scan except along an index. PostgreSQL: the same in its own terms.
        assert "TEMP B-TREE" not in plan, statement
        assert not re.search(r"SCAN (?!\w+ USING (COVERING )?INDEX)", plan), (statement, plan)
        assert '"Seq Scan"' not in plan, (statement, plan)
        assert '"Sort"' not in plan, (statement, plan)


@pytest.mark.parametrize("cursor", [None, CURSOR], ids=["first", "next"])
@pytest.mark.parametrize("wanted", LISTS, ids=str)
def test_list_queries_read_index_ranges(store: Store, wanted: JobFilter, cursor: str | None) -> None:
    add(store)
    check(store, lambda: store.jobs.list(wanted, limit=50, cursor=cursor))


def test_queue_queries_read_index_ranges(store: Store) -> None:
    job = add(store)
    check(store, lambda: store.jobs.queue_heads(100))
    check(store, lambda: store.jobs.queue_heads(100, nodes=[Resources(2.0, 2**30), Resources(8.0, 2**20, 1.0)]))
    check(store, lambda: store.jobs.held_by("local"))
    check(store, lambda: store.jobs.queue_position(job))


def test_queries_of_the_supervisor_read_index_ranges(store: Store) -> None:
    job = add(store)
    check(store, lambda: store.jobs.get(job.job_id))
    check(store, lambda: store.jobs.request_cancel(job.job_id, now=NOW))
    check(store, lambda: store.jobs.events(job.job_id))
    check(store, lambda: store.jobs.attempts(job.job_id))
    check(store, store.jobs.cancelling)


def test_moves_and_deletes_read_index_ranges(store: Store) -> None:
    lease = store.leases.acquire("supervisor", "a", now=NOW, seconds=15)
    assert lease is not None
    job = add(store, tags={"team": "red"})

    def move_and_delete() -> None:
        failed = store.jobs.move(lease, job, JobState.FAILED, now=NOW)
        store.jobs.delete(failed.job_id)

    check(store, move_and_delete)


def test_repeated_adoption_reads_index_ranges(store: Store) -> None:
    check(store, lambda: store.jobs.adopt(spec_of(), b"import mlflow\n", job_id="job_1", submission_id="s", now=NOW))


def test_counts_read_an_index_alone(store: Store) -> None:
    check(store, lambda: store.jobs.count_by_status("default"))
    check(store, lambda: store.history.failed_by_reason("default"))

"""Batches in the store: jobs with a request of their own, found by their model, with events of their own."""

from __future__ import annotations

from raylift.domain.batches.batch import SCRIPT, BatchSpec, Format, OnError
from raylift.domain.identifiers import TAG_BATCH
from raylift.domain.job import Job, JobStatus
from raylift.domain.lease import Lease
from raylift.store import JobFilter, Store
from tests.contract.samples import add, after, finish
from tests.contract.test_webhooks import found, hook, sent

SPEC = BatchSpec(
    "churn",
    "3",
    Format.CSV,
    alias="champion",
    input="/data/*.parquet",
    output="s3://bucket/scored.csv",
    columns=("a", "b"),
    keep=(),
    on_error=OnError.NULL,
    params={"top": [1, 2]},
)


def batch(store: Store, spec: BatchSpec = SPEC, *, at: float = 0) -> Job:
    return add(store, script=SCRIPT.encode(), now=after(at), batch=spec)


def test_batch_is_read_as_it_was_added(store: Store) -> None:
    made = batch(store)
    assert store.jobs.get(made.job_id).spec.batch == SPEC


def test_batches_are_listed_by_their_model(store: Store, lease: Lease) -> None:
    first, other = batch(store), batch(store, BatchSpec("other", "1", Format.PARQUET), at=1)
    add(store, now=after(2))
    finish(store, lease, first, now=after(3))

    def ids(model: str | None, status: JobStatus | None = None) -> list[str]:
        return [job.job_id for job in store.jobs.list(JobFilter(status, tag=(TAG_BATCH, model)), limit=9).jobs]

    assert ids(None) == [other.job_id, first.job_id]
    assert ids("churn") == [first.job_id]
    assert ids(None, JobStatus.QUEUED) == [other.job_id]


def test_batch_has_events_of_its_own(store: Store, lease: Lease) -> None:
    everything, jobs = hook(store), hook(store, "jobs", events=("job.*",))
    churn = hook(store, "churn", events=("batch.completed",), models=("churn",))
    made = finish(store, lease, batch(store), now=after(1))
    other = batch(store, BatchSpec("other", "1", Format.PARQUET), at=2)
    kinds = ["batch.queued", "batch.running", "batch.completed"]
    assert sent(store, everything) == [*((kind, made.job_id) for kind in kinds), ("batch.queued", other.job_id)]
    assert sent(store, jobs) == []
    (delivery,) = found(store, churn)
    assert (delivery.data["model_version"], delivery.data["output"]) == ("3", "s3://bucket/scored.csv")

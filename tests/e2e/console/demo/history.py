"""The past of the platform: jobs that are over, a sweep, series of versions, and who did what."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

from sqlalchemy import update

from raylift.domain.audit import AuditEntry, Outcome
from raylift.domain.identifiers import new_entry_id, new_job_id, new_sweep_id, submission_id
from raylift.domain.job import Attempt, Event, Job, JobSpec, JobState, Reason, Resources, SweepPart, Usage
from raylift.domain.models.counters import SECONDS, SECONDS_BOUNDS, SECONDS_SUM
from raylift.domain.models.series import ERRORS, MINUTE, REQUESTS, TEN_MINUTES, Interval, aligned
from raylift.domain.sweep import Sweep, SweepMode, SweepRegistration, SweepSpec, SweepState, grid
from raylift.store import Store
from raylift.store.engine.series_tables import IntervalRow
from raylift.store.engine.tables import AttemptRow, EventRow, JobRow, JobTagRow, ScriptRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import insert_into
from raylift.store.statements.records import columns, job_columns
from tests.e2e.console.demo.catalog import CLASSIFIER, FAILURES, MODELS, OWNERS, TEAMS, DemoModel, training_script

GIB = 2**30
DAYS = 12
SWEEP_GRID = {"LEARNING_RATE": ("0.02", "0.05", "0.1", "0.2", "0.4"), "ROUNDS": ("20", "60", "120", "240"), "DEPTH": ("3", "5")}


def jobs_of(count: int, now: datetime, chance: random.Random) -> list[Job]:
    """Return ``count`` jobs that are over, most of them in working hours, the oldest first."""
    moments = sorted(
        now - timedelta(days=DAYS * chance.random() ** 1.5, minutes=20 + 40 * chance.random()) for _ in range(count)
    )
    return [_job(moment, chance) for moment in moments]


def _job(created: datetime, chance: random.Random) -> Job:
    model = chance.choices(MODELS, [one.versions for one in MODELS])[0]
    owner = chance.choice(OWNERS)
    cpus, memory = chance.choice(((1.0, 2), (1.0, 2), (2.0, 4), (0.5, 1)))
    waited, building, script = chance.expovariate(1 / 8), chance.choice((0.0, 0.0, 0.3, 14.0)), 4 + chance.lognormvariate(3, 1)
    spec = JobSpec(
        script_sha256=sha256(training_script(model.kind).encode()).hexdigest(),
        script_name="train.py",
        experiment_name=model.name,
        model_name=model.name,
        requirements=model.requirements,
        resources=Resources(cpus, memory * GIB),
        params={"learning_rate": str(chance.choice((0.02, 0.05, 0.1, 0.2))), "rounds": str(chance.choice((40, 80, 160)))},
        tags={"team": TEAMS[owner], **({"nightly": "true"} if owner == "nightly" else {})},
        owner=owner,
        # No process loads 40 versions: the demo deploys those that it shows.
        deploy=False,
    )
    fate = chance.random()
    job = _over(spec, created, [waited, building, 1.4, script, 0.8], chance)
    if fate < 0.13:
        reason, code, message = chance.choice(FAILURES)
        limit = spec.resources.memory_bytes
        message = message.format(model=spec.model_name, memory=limit // GIB)
        if reason == Reason.OUT_OF_MEMORY and job.usage is not None:
            job = replace(job, usage=replace(job.usage, peak_memory_bytes=int(limit * 1.01)))
        return replace(job, state=JobState.FAILED, reason=Reason(reason), message=message, exit_code=code, metrics={})
    if fate < 0.17:
        message = f"Cancelled by {owner}."
        return replace(
            job, state=JobState.CANCELLED, reason=Reason.CANCELLED_BY_USER, message=message, exit_code=None, metrics={}
        )
    return job


def _over(spec: JobSpec, created: datetime, seconds: Sequence[float], chance: random.Random) -> Job:
    job_id, ended = new_job_id(created.timestamp()), created + timedelta(seconds=sum(seconds))
    names = (JobState.QUEUED, JobState.ENVIRONMENT, JobState.STARTING, JobState.SCRIPT, JobState.REGISTRATION)
    phases = {state.value: taken for state, taken in zip(names, seconds, strict=True) if taken}
    script = seconds[3]
    peak = int(min(spec.resources.memory_bytes, chance.uniform(0.25, 1.6) * GIB))
    return Job(
        job_id,
        spec,
        JobState.COMPLETED,
        created_at=created,
        entered_at=ended,
        submission_id=submission_id(job_id, 1),
        started_at=created + timedelta(seconds=sum(seconds[:3])),
        finished_at=ended,
        phases=phases,
        usage=Usage(script * spec.resources.cpus * chance.uniform(0.5, 0.98), peak, script, "cgroup", "cgroup"),
        exit_code=0,
        metrics=metrics(spec, chance),
        environment_lock=spec.requirements,
    )


def metrics(spec: JobSpec, chance: random.Random) -> dict[str, float]:
    kind = next((one.kind for one in MODELS if one.name == spec.model_name), CLASSIFIER)
    good = chance.betavariate(30, 4)
    if kind == CLASSIFIER:
        return {"accuracy": round(good, 4), "f1": round(good - 0.03, 4), "roc_auc": round(min(good + 0.05, 0.999), 4)}
    return {"r2": round(good, 4), "mae": round(4 * (1 - good) + 1, 4), "rmse": round(6 * (1 - good) + 1.5, 4)}


def sweep_of(now: datetime, chance: random.Random) -> tuple[Sweep, list[Job]]:
    """Return a sweep of 40 jobs that is over."""
    created, model = now - timedelta(hours=5), MODELS[0]
    parameters, sweep_id = SWEEP_GRID, new_sweep_id((now - timedelta(hours=5)).timestamp())
    jobs: list[Job] = []
    for number, values in enumerate(grid(parameters)):
        spec = JobSpec(
            script_sha256=sha256(training_script(model.kind).encode()).hexdigest(),
            script_name="train.py",
            experiment_name="churn-tuning",
            model_name=model.name,
            environment=values,
            owner="ann",
            sweep=SweepPart(sweep_id, values, registers=False),
        )
        rate, rounds = float(values["LEARNING_RATE"]), int(values["ROUNDS"])
        accuracy = 0.91 - 0.03 * abs(math.log10(rate * rounds / 9)) - 0.01 * (values["DEPTH"] == "5") + chance.gauss(0, 0.004)
        job = _over(spec, created + timedelta(seconds=number * 0.01), [8.0 * number, 0, 1.4, 3 + rounds / 12, 0.6], chance)
        jobs.append(replace(job, metrics={"accuracy": round(accuracy, 4), "roc_auc": round(accuracy + 0.04, 4)}))
    best = max(jobs, key=lambda job: job.metrics["accuracy"])
    ended = max(job.entered_at for job in jobs)
    of_sweep = SweepSpec(parameters, "train.py", "churn-tuning", model.name, metric="accuracy", mode=SweepMode.MAX,
                         registration=SweepRegistration.BEST)  # fmt: skip
    sweep = Sweep(sweep_id, of_sweep, SweepState.COMPLETED, created, ended, finished_at=ended, best_job_id=best.job_id)
    return sweep, jobs


def write_jobs(store: Store, jobs: Sequence[Job], sweep: Sweep | None = None) -> None:
    """Add jobs that are over as the platform would have left them."""
    with store._database.write() as session:
        for script in {training_script(one.kind) for one in MODELS}:
            content = script.encode()
            row = {"sha256": sha256(content).hexdigest(), "content": content}
            session.execute(insert_into(session, ScriptRow).on_conflict_do_nothing(), row)
        session.execute(insert_into(session, JobRow), [job_columns(job) for job in jobs])
        session.execute(insert_into(session, EventRow), [columns(event) for job in jobs for event in _events(job)])
        session.execute(insert_into(session, AttemptRow), [columns(_attempt(job)) for job in jobs])
        tags = [
            {"job_id": job.job_id, "key": key, "value": value, "created_at": job.created_at}
            for job in jobs
            for key, value in job.spec.tags.items()
        ]
        if tags:
            session.execute(insert_into(session, JobTagRow), tags)
        if sweep is not None:
            session.execute(insert_into(session, SweepRow), columns(sweep) | {"workspace": "default"})
            rows = [{"job_id": job.job_id, "sweep_id": sweep.sweep_id, "position": place} for place, job in enumerate(jobs)]
            session.execute(insert_into(session, SweepJobRow), rows)


def name_version(store: Store, job: Job, version: str, run_id: str, experiment_id: str) -> None:
    """Write the version that a job is to have made."""
    message = f"Registered as {job.spec.model_name} version {version}."
    facts = {"model_version": version, "mlflow_run_id": run_id, "mlflow_experiment_id": experiment_id, "message": message}
    with store._database.write() as session:
        session.execute(update(JobRow).where(JobRow.job_id == job.job_id).values(**facts))


def _attempt(job: Job) -> Attempt:
    made = submission_id(job.job_id, 1)
    return Attempt(job.job_id, 1, made, job.created_at, job.started_at, job.finished_at, job.exit_code, job.reason, job.message,
                   job.usage)  # fmt: skip


def _events(job: Job) -> Iterator[Event]:
    states = [*map(JobState, job.phases), job.state]
    at = job.created_at
    yield Event(job.job_id, 1, at, None, states[0], 1)
    for number, (before, after) in enumerate(pairwise(states), 2):
        at += timedelta(seconds=job.phases[before])
        last = after is job.state
        yield Event(job.job_id, number, at, before, after, 1, job.reason if last else None, job.message if last else None)


def write_series(store: Store, versions: Sequence[tuple[DemoModel, str, float]], now: datetime, chance: random.Random) -> None:
    """Write a day of minutes and a week of ten minutes for each version and its share of its model's requests."""
    rows = [columns(one) for model, version, share in versions for one in _series(model, version, share, now, chance)]
    with store._database.write() as session:
        for start in range(0, len(rows), 2000):
            session.execute(insert_into(session, IntervalRow).on_conflict_do_nothing(), rows[start : start + 2000])


def _series(model: DemoModel, version: str, share: float, now: datetime, chance: random.Random) -> Iterator[Interval]:
    speed = 0.00045 * (1 + 0.06 * int(version))
    for step, days in ((MINUTE, 1), (TEN_MINUTES, 7)):
        end = aligned(now, step)
        for number in range(days * 86400 // step):
            at = end - timedelta(seconds=step * (number + 1))
            requests = round(model.requests * share * step * _busy(at) * chance.uniform(0.85, 1.15))
            if requests:
                yield _interval(model.name, version, step, at, requests, speed, chance)


def _busy(at: datetime) -> float:
    """Return the share of a busy hour's requests: low at night, lower at weekends."""
    hour = at.hour + at.minute / 60
    return (0.12 + 0.88 * max(0.0, math.sin(math.pi * (hour - 5) / 17))) * (0.45 if at.weekday() > 4 else 1.0)


def _interval(name: str, version: str, step: int, at: datetime, requests: int, speed: float, chance: random.Random) -> Interval:
    bad = sum(chance.random() < 0.002 for _ in range(min(requests, 400))) * max(1, requests // 400)
    below = [requests * _share_below(bound, speed) for bound in SECONDS_BOUNDS]
    counts = dict(zip(SECONDS, (high - low for low, high in pairwise([0.0, *below, float(requests)])), strict=True))
    counts |= {REQUESTS: requests, ERRORS: bad, SECONDS_SUM: requests * speed * 1.3, "rows": requests * 1.7}
    busy = requests / step
    queued = max(0, round(chance.gauss(busy / 6, 0.8)))
    kept = {key: round(value, 3) for key, value in counts.items() if value}
    return Interval(name, version, step, at, kept, queued=queued, replicas=1 + int(busy > 5), warm=0)


def _share_below(bound: float, speed: float) -> float:
    return 0.5 * (1 + math.erf((math.log(bound) - math.log(speed)) / (0.7 * math.sqrt(2))))


def write_audit(store: Store, now: datetime, chance: random.Random) -> None:
    """Write entries of the last two days."""
    acts = (
        ("job.submit", None, Outcome.DONE, None),
        ("job.submit", None, Outcome.DONE, None),
        ("traffic.set", "churn", Outcome.DONE, "v5 90 %, v6 10 %"),
        ("deployment.put", "fraud-score/5", Outcome.DONE, None),
        ("job.cancel", None, Outcome.DONE, None),
        ("key.create", "ci-deploy", Outcome.DONE, None),
        ("model.alias", "fraud-score", Outcome.UNCHANGED, None),
        ("job.submit", None, Outcome.REFUSED, "quota_exceeded"),
    )
    for hours in accumulate(chance.expovariate(1.6) for _ in range(60)):
        at, (action, target, outcome, detail) = now - timedelta(hours=hours), chance.choice(acts)
        target = target or new_job_id(at.timestamp())
        who = chance.choice(OWNERS)
        address = f"10.4.{1 + len(who)}.{10 + len(action)}"
        entry: dict[str, Any] = {"entry_id": new_entry_id(at.timestamp()), "at": at, "who": who, "key_id": f"key_{who}"}
        entry |= {"workspace": "default", "address": address, "action": action, "target": target, "outcome": outcome}
        store.audit.add(AuditEntry(**entry, request_id=None, detail=detail))


def utc_now() -> datetime:
    return datetime.now(UTC)

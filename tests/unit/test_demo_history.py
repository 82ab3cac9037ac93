"""The invented history of the demo platform: the store takes it, and reads it as its own."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from raylift.store import Store
from raylift.store.statements.pages import JobFilter
from tests.e2e.console.demo import history
from tests.e2e.console.demo.catalog import MODELS

NOW = datetime(2026, 11, 30, 14, tzinfo=UTC)


def test_history_is_that_of_a_busy_platform(tmp_path: Path) -> None:
    chance, store = random.Random(14), Store.open(f"sqlite:///{tmp_path}/demo.db")
    store.migrate()
    history.write_jobs(store, history.jobs_of(60, NOW, chance))
    sweep, swept = history.sweep_of(NOW, chance)
    history.write_jobs(store, swept, sweep)
    history.write_audit(store, NOW, chance)
    history.write_series(store, [(MODELS[0], "6", 1.0)], NOW, chance)
    jobs = store.jobs.list(JobFilter(), limit=200).jobs
    assert len(jobs) == 100
    assert {job.status.value for job in jobs} == {"completed", "failed", "cancelled"}
    assert store.sweeps.get(sweep.sweep_id).best_job_id in {job.job_id for job in store.sweeps.jobs(sweep.sweep_id)}
    minutes = store.series.intervals("churn", "6", NOW - timedelta(hours=2), NOW, step_seconds=60)
    assert len(minutes) > 100
    assert sum(model.versions for model in MODELS) == 40
    store.close()

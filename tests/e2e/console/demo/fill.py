"""Fills a platform: invented history first, then real models, deployments, traffic, a queue."""

from __future__ import annotations

import random
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from raylift import APIError, Client
from raylift.domain.models.feedback import Feedback
from raylift.domain.models.version import LoggedModel
from raylift.engines.mlflow_engine.client import connect
from raylift.engines.mlflow_engine.registry import Registry
from raylift.store import Store
from tests.e2e.console.demo import history
from tests.e2e.console.demo.catalog import CLASSIFIER, MODELS, REGRESSOR, ROW, DemoModel, training_script

JOBS = 300
SHARES: dict[str, dict[str | int, float]] = {"churn": {"5": 90, "6": 10}, "fraud-score": {"champion": 80, "challenger": 20}}
ASKED = ("churn", "fraud-score", "delivery-time", "spam")

Say = Callable[[str], None]


def fill(url: str, state_dir: Path, mlflow_url: str, say: Say) -> None:
    """Fill a fresh platform. Ends with two jobs that run for an hour and some that wait for them."""
    store = Store.open(f"sqlite:///{state_dir.resolve()}/raylift.db")
    now, chance = history.utc_now(), random.Random(14)
    say(f"{JOBS} jobs")
    jobs = history.jobs_of(JOBS - 40, now, chance)
    history.write_jobs(store, jobs)
    sweep, swept = history.sweep_of(now, chance)
    history.write_jobs(store, swept, sweep)
    history.write_audit(store, now, chance)
    with Client(url, owner="ann") as client:
        say("two models")
        trained = {kind: _train(client, name, kind) for kind, name in ((CLASSIFIER, "churn"), (REGRESSOR, "demand-forecast"))}
        say("40 versions")
        made = _register(store, mlflow_url, trained, [job for job in jobs if job.exit_code == 0 and not job.reason])
        _until(lambda: len(client.deployments.list()) >= sum(one.versions for one in MODELS))
        _date(state_dir, made)
        say("deployments, traffic")
        _deploy(client)
        history.write_series(store, _asked_versions(), now, chance)
        _ask(client, store, chance)
        say("a queue")
        _queue(url)
    store.close()


def _train(client: Client, name: str, kind: str) -> Any:
    job = client.train(
        script_content=training_script(kind),
        script_name="train.py",
        model=name,
        env={"PAUSE": "0.1"},
        tags={"team": "growth"},
        deploy=False,
        autolog=False,
    )
    return job.wait()


def _register(store: Store, mlflow_url: str, trained: Any, jobs: list[Any]) -> dict[tuple[str, str], datetime]:
    """Register the models that were trained as the versions of all others, each with a run of its own. Returns their dates."""
    client, registry = connect(mlflow_url), Registry(mlflow_url)
    made: dict[tuple[str, str], datetime] = {}
    source = {kind: registry.version(job.view.model_name, job.view.model_version) for kind, job in trained.items()}
    for model in MODELS:
        experiment = client.get_experiment_by_name(model.name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(model.name)
        of_model = [job for job in jobs if job.spec.model_name == model.name][-model.versions :]
        for number in range(len(registry.versions(model.name)) if model.name in _registered(registry) else 0, model.versions):
            job = of_model[number % len(of_model)]
            run = client.create_run(experiment_id, run_name=f"{model.name}-{number + 1}")
            for name, value in job.metrics.items():
                client.log_metric(run.info.run_id, name, value)
            for name, value in job.spec.params.items():
                client.log_param(run.info.run_id, name, value)
            client.set_terminated(run.info.run_id)
            of_kind = source[model.kind]
            uri = str(of_kind.source)
            logged = LoggedModel(uri.removeprefix("models:/"), "model", run.info.run_id, history.utc_now(), uri)
            tags = {**of_kind.tags, "raylift.job_id": job.job_id}
            version = registry.register(model.name, logged, tags).version
            history.name_version(store, job, version, run.info.run_id, experiment_id)
            made[model.name, version] = job.created_at
    return made


def _date(state_dir: Path, made: Mapping[tuple[str, str], datetime]) -> None:
    """Date the versions as their jobs. MLflow has no call for it."""
    with closing(sqlite3.connect(state_dir / "mlflow" / "mlflow.db")) as database, database:
        for (name, version), at in made.items():
            row = (int(at.timestamp() * 1000), name)
            database.execute("UPDATE model_versions SET creation_time = ? WHERE name = ? AND version = ?", (*row, version))
            database.execute("UPDATE registered_models SET last_updated_time = ? WHERE name = ?", row)


def _registered(registry: Registry) -> set[str]:
    return {model.name for model in registry.models()}


def _deploy(client: Client) -> None:
    for model in MODELS:
        if model.name not in ASKED:
            client.deployments.put(model.name, model.versions)
    for name in ASKED:
        newest = next(model.versions for model in MODELS if model.name == name)
        for version in (newest - 1, newest):
            client.deployments.put(name, version, min_replicas=1, max_replicas=4, cpus=0.05, payload_log={"sample_rate": 1.0})
    client.deployments.put("house-prices", 4, memory="3GiB")
    for name in ASKED:
        newest = next(model.versions for model in MODELS if model.name == name)
        for version in (newest - 1, newest):
            client.deployments.wait(name, version, timeout=240)
    client.models.set_alias("fraud-score", "champion", "4")
    client.models.set_alias("fraud-score", "challenger", "5")
    client.models.set_alias("churn", "champion", "5")
    with Client(client.base_url, owner="ben") as ben:
        ben.traffic.set("churn", {"5": 100})
        ben.traffic.set("fraud-score", SHARES["fraud-score"])
    client.traffic.set("churn", SHARES["churn"])


def _asked_versions() -> list[tuple[DemoModel, str, float]]:
    found: list[tuple[DemoModel, str, float]] = []
    for model in MODELS:
        share = 0.1 if model.name == "churn" else 0.2
        if model.requests:
            found.append((model, str(model.versions), share if model.name in SHARES else 1.0))
            if model.name in SHARES:
                found.append((model, str(model.versions - 1), 1 - share))
    return found


def _ask(client: Client, store: Store, chance: random.Random) -> None:
    """Ask the two versions of "churn", and tell the true values as if they had come over the last day."""
    now = history.utc_now()
    for version, right in (("5", 0.86), ("6", 0.91)):
        told: list[Feedback] = []
        for _ in range(150):
            request_id = uuid.uuid4().hex
            answer = client.predict("churn", [_row(chance)], version=version, request_id=request_id)
            predicted = int(answer.predictions[0])
            truth = predicted if chance.random() < right else 1 - predicted
            told.append(Feedback("churn", version, request_id, truth, now - timedelta(hours=24 * chance.random())))
        store.feedback.put(told)


def _row(chance: random.Random) -> dict[str, float]:
    return {
        "months": float(chance.randrange(72)),
        "monthly_fee": chance.uniform(15, 120),
        "support_calls": float(chance.randrange(6)),
    }


def _queue(url: str) -> None:
    """Start what holds the cluster's CPUs, and let others wait."""
    waiting = (
        ("dmitri", "fraud-score", 1, 70),
        ("chloe", "demand-forecast", 2, 50),
        ("nightly", "returns", 1, 20),
        ("ben", "spam", 1, 50),
    )
    with Client(url, owner="ann") as client:
        slow = {"PAUSE": "0.4", "ROUNDS": "900"}
        client.train(
            script_content=training_script(CLASSIFIER), model="churn", env=slow, timeout=3600, deploy=False, autolog=False
        )
    for owner, name, cpus, priority in waiting:
        kind = next(model.kind for model in MODELS if model.name == name)
        with Client(url, owner=owner) as client:
            script = training_script(kind)
            client.train(
                script_content=script,
                model=name,
                env=slow,
                timeout=3600,
                cpus=cpus,
                priority=priority,
                deploy=False,
                autolog=False,
            )


def send_traffic(url: str, seconds: float) -> None:
    """Send predictions to the deployed models, some ten a second."""
    chance, end = random.Random(3), time.monotonic() + seconds
    with Client(url) as client:
        while time.monotonic() < end:
            name = chance.choices(ASKED, (4, 6, 3, 2))[0]
            with suppress(APIError):
                client.predict(name, [_row(chance) if chance.random() > 0.003 else {"months": ROW["months"]}])
            time.sleep(0.03)


def _until(is_done: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not is_done():
        if time.monotonic() > end:
            raise TimeoutError("the platform does not come to an end")
        time.sleep(1)

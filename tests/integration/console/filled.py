"""A platform with everything that its pages can show: jobs, a sweep, datasets, batches, versions with drift and a rollout,
webhooks, schedules. Its supervisor is played, so it is made in seconds."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from raylift.domain.batches.batch import Format
from raylift.domain.batches.order import PROGRESS_FILE, RESULT_FILE, WORK_FOLDER, output_name
from raylift.domain.job import JobState, Reason
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.models.version import InputColumn, ModelSignature
from raylift.domain.monitoring.monitor import Alert, Check, Figures, Monitor, MonitorState, Window
from raylift.domain.monitoring.reference import ColumnKind, Reference, ReferenceColumn
from raylift.domain.rollouts.moves import enter_step
from raylift.domain.rollouts.rollout import Both
from raylift.domain.webhooks.delivery import AfterAttempt, Answer, DeliveryStatus
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import environment_hash, overlay_directory
from raylift.engines.environments.uv.process import Downloads
from tests.integration.console.conftest import Gateway

MODEL = "churn"
DATASET = "customers"
CITIES = ("Berlin", "Hamburg", "Munich", "Cologne", "Leipzig")
STEPS = [
    {"shadow": True, "pause_seconds": 300},
    {"weight": 5, "pause_seconds": 600, "min_requests": 100},
    {"weight": 25, "pause_seconds": 600, "min_requests": 100},
    {"approval": True},
    {"weight": 100},
]
COLUMNS = ("monthly_fee", "support_calls", "months", "plan", "city")


@dataclass(frozen=True)
class Filled:
    """Ids of what was made."""

    trained: str
    running: str
    failed: str
    sweep: str
    batches: dict[str, str]
    """By state, and ``rejected``: one with rejected rows."""
    webhook: str
    schedule: str
    environment: str

    def paths(self) -> list[str]:
        """Return the paths of all pages, with something on each."""
        job = f"jobs/{self.trained}"
        return [
            *("", "jobs", "new", "sweeps", f"sweeps/{self.sweep}", "schedules", "schedules/new", f"schedules/{self.schedule}"),
            *(job, f"{job}?tab=metrics", f"{job}?tab=script", f"{job}?tab=environment", f"{job}?tab=history"),
            *(f"jobs/{self.running}", f"jobs/{self.failed}", f"{job}/diff/{self.failed}"),
            *("datasets", f"datasets/{DATASET}", f"datasets/{DATASET}?version=1", "datasets/images"),
            *("batches", *(f"batches/{batch}" for batch in self.batches.values())),
            *("models", f"models/{MODEL}", f"models/{MODEL}/3", f"models/{MODEL}/2", f"models/{MODEL}/1"),
            *("deployments", f"playground?model={MODEL}&version=3", "cluster"),
            *("environments", f"environments?hash={self.environment}"),
            *("webhooks", "webhooks/new", f"webhooks/{self.webhook}", "access", "audit", "settings"),
        ]


def fill(gateway: Gateway) -> Filled:
    """Fill a fresh platform. Figures are the same in every run."""
    chance = random.Random(14)
    add_dataset(gateway, DATASET, {"customers.csv": _table(chance, 400)})
    add_dataset(gateway, DATASET, {"customers.csv": _table(chance, 1200)})
    images = {f"images/{number}.txt": f"image {number}".encode() * number for number in range(1, 9)}
    add_dataset(gateway, "images", images)
    trained = gateway.upload(experiment_name=MODEL, model_name=MODEL, data={"train": f"{DATASET}@2"}, params={"depth": 3})
    gateway.platform.start(trained, b"1200 rows\nround 40/40 accuracy 0.9123\n")
    gateway.platform.finish(trained, model_version="3", metrics={"accuracy": 0.9123, "f1": 0.8817})
    failed = gateway.upload(experiment_name=MODEL, model_name=MODEL, data={"train": f"{DATASET}@1"}, params={"depth": 9})
    gateway.platform.start(failed, b"400 rows\nKeyError: 'signup_date'\n")
    message = "KeyError: 'signup_date' (train.py, line 41)"
    gateway.platform.finish(failed, JobState.FAILED, reason=Reason.SCRIPT_ERROR, message=message)
    _register(gateway, trained)
    batches = {state: _batch(gateway, state) for state in ("completed", "rejected", "failed", "running", "queued")}
    running = gateway.upload(experiment_name="demand-forecast", model_name="demand-forecast")
    gateway.platform.start(running, b"round 12/40\n")
    sweep = gateway.http.post(
        "/mlops/training/upload",
        json={
            "script_content": "print(1)",
            "experiment_name": "depths",
            "sweep": {"parameters": {"DEPTH": ["3", "5"], "LR": ["0.1", "0.2"]}, "metric": "accuracy"},
        },
    ).json()["sweep_id"]
    swept = gateway.http.get("/mlops/training/jobs", params={"sweep_id": sweep}).json()["jobs"]
    for number, job in enumerate(swept[:3]):
        gateway.platform.start(job["job_id"])
        gateway.platform.finish(job["job_id"], metrics={"accuracy": 0.8 + number / 50})
    lock = ["lightgbm==4.6.0", "torch==2.9.0"]
    directory = overlay_directory(lock, gateway.platform.settings.environments_dir)
    write_record(directory, lock, downloads=Downloads(40 * 2**20, 200 * 2**20))
    watch(gateway, MODEL, "3")
    roll_out(gateway, MODEL)
    return Filled(
        trained,
        running,
        failed,
        sweep,
        batches,
        webhook=_webhook(gateway),
        schedule=_schedule(gateway),
        environment=environment_hash(lock),
    )


def add_dataset(gateway: Gateway, name: str, files: dict[str, bytes]) -> None:
    named = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    for path, content in files.items():
        gateway.http.put(f"/mlops/datasets/files/{named[path]}", content=content).raise_for_status()
    listed = [{"path": path, "sha256": sha256} for path, sha256 in named.items()]
    answer = gateway.http.post("/mlops/datasets", json={"name": name, "files": listed})
    assert answer.status_code == 201, answer.text


def _table(chance: random.Random, rows: int) -> bytes:
    lines = ["customer,months,monthly_fee,support_calls,city,signup,churned"]
    for number in range(rows):
        fee = "" if number % 40 == 7 else f"{chance.uniform(15, 120):.2f}"
        signup = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number % 700)
        words = [
            f"c{number:05}",
            chance.randrange(1, 72),
            fee,
            chance.randrange(6),
            chance.choice(CITIES),
            signup.date(),
            number % 2,
        ]
        lines.append(",".join(map(str, words)))
    return "\n".join(lines).encode()


def _register(gateway: Gateway, job_id: str) -> None:
    """Three versions. The newest is watched, and a rollout gives it requests."""
    registry = gateway.platform.registry
    for version in "123":
        registry.register(MODEL, version, tags={"raylift.job_id": job_id}, metrics={"accuracy": 0.88 + int(version) / 100})
        columns = (InputColumn("months", "double", required=True), InputColumn("city", "string", required=False))
        registry.signatures[MODEL, version] = ModelSignature(columns=columns)
        gateway.platform.store.deployments.ensure(
            MODEL,
            version,
            model_uri=f"models:/{MODEL}/{version}",
            config=DeploymentConfig(),
            now=datetime.now(UTC),
            environment_lock=(),
            files={"MLmodel": "0" * 64},
        )
    gateway.platform.deploy(
        MODEL, "1", DeploymentStatus.UNHEALTHY, replicas=0, message="ModuleNotFoundError: No module named 'lightgbm'"
    )
    for version in "23":
        gateway.platform.deploy(MODEL, version, ready_at=datetime.now(UTC) - timedelta(hours=3))
    registry.aliases[MODEL, "champion"] = "2"


def _batch(gateway: Gateway, state: str) -> str:
    order: dict[str, Any] = {
        "model_name": MODEL,
        "model_version": "2",
        "on_error": "skip" if state == "rejected" else "fail",
        "keep": ["customer"],
    }
    files = [("file", ("october.csv", _table(random.Random(3), 50)))]
    answer = gateway.http.post("/mlops/batches", data={"batch": json.dumps(order)}, files=files)
    assert answer.status_code == 202, answer.text
    batch: str = answer.json()["batch_id"]
    if state == "queued":
        return batch
    work = gateway.platform.settings.batches_dir / batch / WORK_FOLDER
    is_over = state in {"completed", "rejected"}
    rejected = 12 if state == "rejected" else 0
    gateway.platform.start(batch, b"scoring\n")
    progress = {
        "phase": "writing" if is_over else "scoring",
        "rows": 1_200_000 if is_over else 412_000,
        "rows_total": 1_200_000,
    }
    rest = {"items_total": 12, "rows_per_second": 18342.4, "eta_seconds": 0 if is_over else 42.96}
    _put(work / PROGRESS_FILE, progress | rest | {"items": 12 if is_over else 4, "rejected": rejected})
    if is_over:
        written = {"rows": 1_200_000, "rows_written": 1_200_000 - rejected, "rejected": rejected, "files": 1}
        _put(work / RESULT_FILE, {"output": None, "rejected_output": None} | written)
        (work / output_name(Format.PARQUET)).write_bytes(b"customer,prediction\n")
        gateway.platform.finish(batch)
    if state == "failed":
        message = "Row 7 of october.csv: column 'monthly_fee' has no number."
        gateway.platform.finish(batch, JobState.FAILED, reason=Reason.DATA_ERROR, message=message)
    return batch


def _put(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def watch(gateway: Gateway, model: str, version: str) -> None:
    """Watch a version for four hours; the last two had other fees than the training, and an alert is open."""
    platform, hour = gateway.platform, timedelta(hours=1)
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 4 * hour
    columns = [ReferenceColumn(name, ColumnKind.NUMBER, 1200, 0, (600, 600), (40.0,), 18.0, 90.0) for name in COLUMNS]
    platform.store.monitors.begin(platform.lease, model, version, Reference(1200, tuple(columns)), begin)
    alert = Alert("alert_1", model, version, Check.DRIFT, COLUMNS[0], None, 0.41237, 0.2518, begin + 2 * hour, begin + 3 * hour)
    unseen = Alert(
        "alert_2", model, version, Check.UNSEEN, "city", "Berlin", 0.0734, 0.0312, begin + 2 * hour, begin + 4 * hour
    )
    for number in range(4):
        start = begin + number * hour
        figures = [_figures(name, place, is_bad=number > 1 and place == 0) for place, name in enumerate(COLUMNS)]
        window = Window(model, version, start, start + hour, 10_400 + number, 2_080, True, [_figures("answer", 3), *figures])
        raised = {2: [alert], 3: [unseen]}.get(number, [])
        monitor = platform.store.monitors.find(model, version)
        assert isinstance(monitor, Monitor)
        platform.store.monitors.close_window(
            platform.lease, monitor, window, MonitorState(), raised=raised, ended=[], now=start + hour
        )


def _figures(name: str, place: int, *, is_bad: bool = False) -> Figures:
    psi = 0.41237 if is_bad else 0.012 + place / 61
    breaches = (Check.DRIFT,) if is_bad else ()
    return Figures(
        name, name == "answer", None, 2_080, psi, 0.2518, 0.2, 0.3, 0.0, None, 0.0123, 0.0, place / 900, 0.0021, breaches
    )


def roll_out(gateway: Gateway, model: str) -> None:
    """Begin a rollout from version 2 to 3. It is in its second step."""
    http, platform = gateway.http, gateway.platform
    http.put(f"/mlops/models/{model}/traffic", json={"routes": [{"alias": "champion", "weight": 1}]}).raise_for_status()
    body = {"model_name": model, "version": "3", "steps": STEPS}
    answer = http.post("/mlops/rollouts", json=body, headers={"X-Raylift-Owner": "ann"})
    assert answer.status_code == 201, answer.text
    for step in (0, 1):
        (rollout,) = platform.store.rollouts.active()
        now = datetime.now(UTC)
        platform.store.rollouts.apply(enter_step(rollout, step, Both(), now), lease=platform.lease, now=now)


def _webhook(gateway: Gateway) -> str:
    """Make a webhook with a delivery of each state."""
    hook = {
        "name": "ops-channel",
        "url": "https://hooks.example.com/raylift?token=t0ken",
        "events": ["job.*"],
        "models": ["churn*"],
    }
    made: str = gateway.http.post("/mlops/webhooks", json=hook).json()["webhook_id"]
    gateway.http.post(
        "/mlops/webhooks", json={"name": "ci", "url": "https://ci.example.com/raylift", "events": ["*"]}
    ).raise_for_status()
    for _ in range(3):
        gateway.upload(experiment_name=MODEL, model_name=MODEL)
    platform, now = gateway.platform, datetime.now(UTC)
    first, second, *_ = platform.store.webhooks.deliveries(made, status=None, limit=10, cursor=None).deliveries
    for delivery, status, answer in (
        (first, DeliveryStatus.DELIVERED, Answer(204, None, "")),
        (second, DeliveryStatus.DEAD, Answer(503, "The receiver answered with 503.", "Busy, try later")),
    ):
        platform.store.webhooks.record_attempt(platform.lease, delivery, answer, AfterAttempt(status, now), now=now)
    return made


def _schedule(gateway: Gateway) -> str:
    train = {"script_content": "print(1)", "experiment_name": MODEL, "model_name": MODEL}
    timed = {"name": "nightly-churn", "cron": "0 3 * * 1-5", "timezone": "Europe/Berlin", "train": train}
    made: str = gateway.http.post("/mlops/schedules", json=timed).json()["schedule_id"]
    return made

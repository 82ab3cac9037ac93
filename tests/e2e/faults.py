"""One cell of the fault table: submit jobs, kill a process at a moment of their lives, and check that nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from raylift import Client, RayliftError
from raylift.domain.job import FINAL_STATES, Job, JobState, JobStatus
from raylift.domain.models.deployment import DeploymentStatus
from raylift.engines.mlflow_engine.registry import Registry
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of
from raylift.store import Store
from tests.postgres_server import PostgresServer

SETTLE_SECONDS = 400.0


class Moment(StrEnum):
    QUEUED = "queued"
    BUILDING = "building"
    RUNNING = "running"
    REGISTERING = "registering"
    DEPLOYING = "deploying"


class Victim(StrEnum):
    SUPERVISOR = "supervisor"
    SUPERVISOR_FOR_GOOD = "supervisor, for good"
    """By a script that tells Ray not to restart it."""
    GATEWAY = "gateway"
    WRAPPER = "wrapper"
    RAYLET = "raylet"
    GCS = "GCS"
    MLFLOW = "MLflow"
    POSTGRESQL = "PostgreSQL"
    EVERYTHING = "everything"


NEEDS_UP = frozenset({Victim.RAYLET, Victim.GCS, Victim.EVERYTHING})
"""Victims that only `raylift up` starts again."""

# The script's daemon inherits a lock. A later attempt finds it taken if any process of an earlier attempt lives.
_EVIDENCE = """
import fcntl, os, sys, time
place = os.path.join(os.environ["FAULT_EVIDENCE"], os.environ["RAYLIFT_JOB_ID"])
lock = os.open(place + ".lock", os.O_CREAT | os.O_RDWR)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(place + ".doubled", "w").close()
with open(place + ".starts", "a") as starts:
    starts.write(f"{time.time()}\\n")
os.set_inheritable(lock, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
time.sleep(float(os.environ["FAULT_SECONDS"]))
"""
# The files of mlflow.log_model, without the seconds that importing MLflow takes. Enough for a registration.
_LOG_MODEL = """
import json, urllib.request
def call(method, path, **body):
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path, json.dumps(body).encode(),
        {"Content-Type": "application/json"}, method=method)
    for pause in range(60):
        try:
            return json.load(urllib.request.urlopen(request, timeout=30))
        except OSError:
            time.sleep(1)
    sys.exit("MLflow stays away")
tags = [{"key": "raylift.job_id", "value": os.environ["RAYLIFT_JOB_ID"]}]
run = call("POST", "runs/create", experiment_id="0", start_time=int(time.time() * 1000), tags=tags)["run"]["info"]["run_id"]
made = call("POST", "logged-models", experiment_id="0", name="model", source_run_id=run, tags=tags)
model = made["model"]["info"]["model_id"]
call("PATCH", "logged-models/" + model, model_id=model, status="LOGGED_MODEL_READY")
"""
_KILL_FOR_GOOD = """
import ray, sys
ray.init(sys.argv[1], namespace="raylift", log_to_driver=False)
ray.kill(ray.get_actor("supervisor"), no_restart=True)
"""
_REAL_MODEL = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""


@dataclass
class Outcome:
    """Result of a cell's jobs."""

    victim: Victim
    moment: Moment
    jobs: int
    completed: int = 0
    failed: int = 0
    unfinished: int = 0
    doubled_runs: int = 0
    doubled_versions: int = 0
    left_processes: int = 0
    killed: int = 0
    attempts: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def nothing_lost_or_doubled(self) -> bool:
        return not self.faults


class Postgres(PostgresServer):
    """A server that can be killed and started again on the same data."""

    def crash(self) -> int:
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        return len(family)

    def resume(self) -> None:
        command: list[str] = [str(self._bin / "postgres"), "-D", str(self._directory / "data"), "-p", str(self._port)]
        command += ["-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with (self._directory / "log").open("ab") as log:
            resumed = subprocess.Popen(
                command,
                cwd=self._directory,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._group,
                extra_groups=self._groups,
            )
        self._process = resumed
        assert self._answers(resumed)


class Fault:
    """A platform, its store, and the folder of the jobs' evidence."""

    def __init__(
        self,
        platform: LocalPlatform,
        *,
        database_url: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        postgres: Postgres | None = None,
    ) -> None:
        self.platform = platform
        self._overrides = overrides
        self._postgres = postgres
        state_dir = platform.record.state_dir
        self.store = Store.open(database_url or f"sqlite:///{state_dir / 'raylift.db'}")
        self.evidence = state_dir / "evidence"
        self.evidence.mkdir(exist_ok=True)

    def run(self, victim: Victim, moment: Moment, jobs: int) -> Outcome:
        """Submit the jobs, kill at the moment, run `raylift up` if it is needed, wait, and check."""
        outcome = Outcome(victim, moment, jobs)
        names = [f"{moment}-{uuid.uuid4().hex[:8]}" for _ in range(jobs)]
        acknowledged: dict[str, str] = {}
        upload = threading.Thread(target=self._hand_in, args=(moment, names, acknowledged))
        upload.start()
        if moment is Moment.QUEUED:
            upload.join()
        _until(lambda: self._has_come(moment, names, acknowledged), 120, f"nothing is {moment}")
        instance = self.platform.record.instance
        outcome.killed = self.kill(victim)
        began = time.monotonic()
        if victim is Victim.POSTGRESQL and self._postgres is not None:
            time.sleep(3)
            self._postgres.resume()
        if victim in NEEDS_UP:
            self.platform = LocalPlatform.start(self.platform.record.state_dir, overrides=self._overrides)
            assert not self.platform.found_running
        upload.join(180)
        with contextlib.suppress(AssertionError):
            _until(lambda: all(self._job(job_id).is_final for job_id in acknowledged.values()), SETTLE_SECONDS, "")
        outcome.seconds = time.monotonic() - began
        self._judge(outcome, moment, names, acknowledged, instance)
        return outcome

    def kill(self, victim: Victim) -> int:
        """Send SIGKILL. Returns the number of processes."""
        if victim is Victim.POSTGRESQL:
            assert self._postgres is not None
            return self._postgres.crash()
        if victim is Victim.SUPERVISOR_FOR_GOOD:
            address = self.platform.record.ray_address
            token = str(self.platform.record.ray_token_file)
            own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
            environment = {**os.environ, **own}
            subprocess.run([sys.executable, "-c", _KILL_FOR_GOOD, address], check=True, env=environment, timeout=120)
            assert LocalPlatform.start(self.platform.record.state_dir, overrides=self._overrides).found_running
            return len([process for process in self.platform.processes() if _is(process, Victim.SUPERVISOR)])
        victims = [process for process in self.platform.processes() if _is(process, victim)]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(victims)

    def _hand_in(self, moment: Moment, names: list[str], acknowledged: dict[str, str]) -> None:
        """Upload each job until it is acknowledged. The idempotency key makes it one job, even if connections break."""
        with_model = moment in {Moment.REGISTERING, Moment.DEPLOYING}
        script = _EVIDENCE + {Moment.REGISTERING: _LOG_MODEL, Moment.DEPLOYING: _REAL_MODEL}.get(moment, "")
        give_up = time.monotonic() + 170
        for name in names:
            while name not in acknowledged and time.monotonic() < give_up:
                try:
                    with Client(self.platform.url) as client:
                        job = client.train(
                            script_content=script,
                            model=name if with_model else None,
                            experiment="faults",
                            requirements=[f"humanize==4.{len(names) % 5 + 5}.0"] if moment is Moment.BUILDING else (),
                            env={
                                "FAULT_EVIDENCE": str(self.evidence),
                                "FAULT_SECONDS": "6" if moment is Moment.RUNNING else "1",
                            },
                            cpus=0.1,
                            memory="1GiB" if moment is Moment.DEPLOYING else "256MiB",
                            autolog=moment is Moment.DEPLOYING,
                            deploy=moment is Moment.DEPLOYING,
                            # Its script leaves evidence outside of its folder.
                            isolation="cluster",
                            idempotency_key=name,
                        )
                        acknowledged[name] = job.job_id
                except RayliftError:
                    time.sleep(0.5)

    def _has_come(self, moment: Moment, names: list[str], acknowledged: Mapping[str, str]) -> bool:
        if moment is Moment.DEPLOYING:
            rows = [row for name in names for row in self.store.deployments.list(name)]
            return any(row.status is DeploymentStatus.STARTING for row in rows)
        jobs = [self._job(job_id) for job_id in list(acknowledged.values())]
        states = [job.state for job in jobs]
        match moment:
            case Moment.QUEUED:
                return True
            case Moment.BUILDING:
                return JobState.ENVIRONMENT in states or JobState.STARTING in states
            case Moment.RUNNING:
                return states.count(JobState.SCRIPT) >= min(4, len(names))
            case Moment.REGISTERING:
                return JobState.REGISTRATION in states

    def _job(self, job_id: str) -> Job:
        return self.store.jobs.get(job_id)

    def _judge(
        self, outcome: Outcome, moment: Moment, names: list[str], acknowledged: Mapping[str, str], instance: str
    ) -> None:
        faults = outcome.faults
        if not outcome.killed:
            faults.append("there was nothing to kill")
        if missing := set(names) - acknowledged.keys():
            faults.append(f"{len(missing)} uploads were never acknowledged")
        for job_id in acknowledged.values():
            job = self._job(job_id)
            outcome.attempts += job.attempt
            outcome.completed += job.status is JobStatus.COMPLETED
            outcome.failed += job.is_final and job.status is not JobStatus.COMPLETED
            outcome.unfinished += not job.is_final
            if job.status is not JobStatus.COMPLETED:
                faults.append(f"{job_id} is {job.state}: {job.reason} {job.message}")
            finals = [event for event in self.store.jobs.events(job_id) if event.after in FINAL_STATES]
            if len(finals) > 1:
                faults.append(f"{job_id} has {len(finals)} ends")
            if (self.evidence / f"{job_id}.doubled").exists():
                outcome.doubled_runs += 1
                faults.append(f"{job_id} ran twice at the same time")
        if moment in {Moment.REGISTERING, Moment.DEPLOYING}:
            self._judge_versions(outcome, acknowledged)
        if moment is Moment.DEPLOYING:
            self._judge_deployments(outcome, acknowledged)
        gone = outcome.victim in NEEDS_UP
        self._judge_processes(outcome, set(acknowledged.values()), instance if gone else None)

    def _judge_versions(self, outcome: Outcome, names: Mapping[str, str]) -> None:
        registry = Registry(self.platform.record.mlflow_url)
        for name in names:
            versions = registry.versions(name)
            if len(versions) != 1:
                outcome.doubled_versions += len(versions) > 1
                outcome.faults.append(f"{name} has {len(versions)} versions")

    def _judge_deployments(self, outcome: Outcome, names: Mapping[str, str]) -> None:
        proven = {DeploymentStatus.READY, DeploymentStatus.SCALED_TO_ZERO}

        def rows() -> list[DeploymentStatus]:
            return [row.status for name in names for row in self.store.deployments.list(name)]

        try:
            _until(lambda: len(rows()) == len(names) and set(rows()) <= proven, 180, "not every version is deployed")
        except AssertionError as error:
            outcome.faults.append(f"{error}: {rows()}")

    def _judge_processes(self, outcome: Outcome, job_ids: set[str], former: str | None) -> None:
        def left() -> list[int]:
            of_jobs = [process.pid for process in self.platform.processes() if _variable(process, "RAYLIFT_JOB_ID") in job_ids]
            return of_jobs + ([process.pid for process in processes_of(former)] if former else [])

        # Ray's actor of a submission and its watcher take a moment to end.
        with contextlib.suppress(AssertionError):
            _until(lambda: not left(), 30, "")
        outcome.left_processes = len(left())
        if outcome.left_processes:
            outcome.faults.append(f"{outcome.left_processes} processes are left: {left()}")


def _is(process: psutil.Process, victim: Victim) -> bool:
    try:
        line, name = " ".join(process.cmdline()), process.name()
    except psutil.NoSuchProcess:
        return False
    match victim:
        case Victim.SUPERVISOR:
            return line.startswith("ray::SupervisorActor")
        case Victim.GATEWAY:
            return line.startswith("ray::ServeReplica:gateway")
        case Victim.WRAPPER:
            # Anchor and monitor at once. Ray's shell around them survives.
            return "job_entrypoints.train" in line and "/bin/sh" not in line
        case Victim.RAYLET:
            return name == "raylet"
        case Victim.GCS:
            return name == "gcs_server"
        case Victim.MLFLOW:
            return ("mlflow" in line and "server" in line) and "raylift.launcher" not in line and "ray::" not in line
        case Victim.EVERYTHING:
            return True
        case Victim.POSTGRESQL | Victim.SUPERVISOR_FOR_GOOD:
            return False


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def evidence_of(state_dir: Path, job_id: str) -> int:
    """Number of starts of the job's script."""
    starts = state_dir / "evidence" / f"{job_id}.starts"
    return len(starts.read_text(encoding="ascii").splitlines()) if starts.exists() else 0

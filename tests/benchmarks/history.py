"""Latency of a gateway whose store has 100,000 finished jobs, beside one with 100.

    python tests/benchmarks/history.py [--jobs 100000] [--rounds 60] [--database postgresql+psycopg://…]

Starts two real gateways under uvicorn, each with a store of its own, and sends requests to both in turns. Goal: at most 1.5
times as long. Also measures the log of a job that printed 1 GiB beside one that printed 64 KiB: its end, a range, and the
resource of the job.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import uvicorn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from raylift.domain.identifiers import new_job_id, submission_id  # noqa: E402 - the path comes first
from raylift.domain.job import FINAL_STATES, Attempt, Event, Job, JobSpec, JobState  # noqa: E402
from raylift.services.container import Services  # noqa: E402
from raylift.settings import PlatformSettings  # noqa: E402
from raylift.store import Store  # noqa: E402
from raylift.store.engine.tables import AttemptRow, EventRow, JobRow, JobTagRow, ScriptRow  # noqa: E402
from raylift.store.engine.transactions import insert_into  # noqa: E402
from raylift.store.statements.pages import encode_cursor  # noqa: E402
from raylift.store.statements.records import columns, job_columns  # noqa: E402
from serve_apps.gateway.rest_api import create_app  # noqa: E402
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry  # noqa: E402

SCRIPT = b"print('hello')\n"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LINE = b"epoch 123 loss 0.123456789 accuracy 0.987654321 lr 0.001000000\n"
FINALS = sorted(FINAL_STATES)
GOAL = 1.5


@dataclass
class Gateway:
    """A running gateway, and a store behind it with ``jobs``, the oldest first."""

    http: httpx.Client
    jobs: list[Job]

    def path(self, question: str) -> str:
        middle = self.jobs[len(self.jobs) // 2]
        cursor = encode_cursor(middle.created_at, middle.job_id)
        return question.format(cursor=cursor, job=middle.job_id, large=self.jobs[-1].job_id, small=self.jobs[-2].job_id)


QUESTIONS = {
    "first page": "/mlops/training/jobs",
    "a page in the middle": "/mlops/training/jobs?cursor={cursor}",
    "status": "/mlops/training/jobs?status=failed&limit=5",
    "status, in the middle": "/mlops/training/jobs?status=failed&cursor={cursor}&limit=5",
    "model": "/mlops/training/jobs?model_name=model-3&limit=5",
    "model and status": "/mlops/training/jobs?model_name=model-3&status=completed&limit=5",
    "experiment": "/mlops/training/jobs?experiment_name=experiment-1&limit=5",
    "experiment and status": "/mlops/training/jobs?experiment_name=experiment-1&status=failed&limit=5",
    "tag": "/mlops/training/jobs?tag=team&limit=5",
    "tag and value": "/mlops/training/jobs?tag=team=red-2&limit=5",
    "one job": "/mlops/training/jobs/{job}",
    "its events": "/mlops/training/jobs/{job}/events",
}
"""Chosen so that both gateways write pages of equal length: each filter leaves at least five of a hundred jobs."""


def job_number(number: int) -> Job:
    created = BEGIN + timedelta(seconds=number)
    spec = JobSpec(
        script_sha256=hashlib.sha256(SCRIPT).hexdigest(),
        script_name="train.py",
        experiment_name=f"experiment-{number % 3}",
        model_name=f"model-{number % 5}",
        tags={"team": f"red-{number % 4}"},
    )
    job_id, state = new_job_id(created.timestamp()), FINALS[number // 5 % len(FINALS)]
    return Job(
        job_id,
        spec,
        state,
        created_at=created,
        entered_at=created + timedelta(seconds=9),
        submission_id=submission_id(job_id, 1),
        started_at=created + timedelta(seconds=2),
        finished_at=created + timedelta(seconds=9),
        phases={"queued": 1.0, "starting": 1.0, "script": 7.0},
        metrics={"accuracy": 0.9},
    )


def fill(store: Store, jobs: Sequence[Job]) -> None:
    """Add finished jobs as the platform would have left them, in large transactions."""
    with store._database.write() as session:
        session.execute(insert_into(session, ScriptRow), [{"sha256": jobs[0].spec.script_sha256, "content": SCRIPT}])
    for start in range(0, len(jobs), 5000):
        part = jobs[start : start + 5000]
        with store._database.write() as session:
            session.execute(insert_into(session, JobRow), [job_columns(job) for job in part])
            session.execute(insert_into(session, EventRow), [columns(event) for job in part for event in events_of(job)])
            attempts = [Attempt(job.job_id, 1, submission_id(job.job_id, 1), job.created_at) for job in part]
            session.execute(insert_into(session, AttemptRow), [columns(attempt) for attempt in attempts])
            tags = [
                {"job_id": job.job_id, "key": key, "value": value, "created_at": job.created_at}
                for job in part
                for key, value in job.spec.tags.items()
            ]
            session.execute(insert_into(session, JobTagRow), tags)


def events_of(job: Job) -> list[Event]:
    way = [None, JobState.QUEUED, JobState.STARTING, JobState.SCRIPT, job.state]
    return [
        Event(job.job_id, number, job.created_at, before, after, 1)
        for number, (before, after) in enumerate(pairwise(way), 1)
        if after is not None
    ]


@contextlib.contextmanager
def gateway(folder: Path, database_url: str, count: int) -> Iterator[Gateway]:
    store = Store.open(database_url)
    store.migrate()
    jobs = [job_number(number) for number in range(count)]
    fill(store, jobs)
    settings = PlatformSettings(
        state_dir=folder, database_url=database_url, mlflow_url="", ray_dashboard_url="", gateway_url="http://127.0.0.1:9"
    )
    for job, size in ((jobs[-1], 2**30), (jobs[-2], 2**16), (jobs[count // 2], 2**16)):
        write_log(settings.attempts_dir / submission_id(job.job_id, 1), size)
    services = Services.assemble(settings, store=store, registry=FakeRegistry(), cluster=FakeCluster())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}", timeout=60, trust_env=False) as http:
            while not server.started:
                time.sleep(0.01)
            yield Gateway(http, jobs)
        server.should_exit = True
        thread.join(10)
    store.close()


def write_log(directory: Path, size: int) -> None:
    directory.mkdir(parents=True)
    block = LINE * (2**20 // len(LINE))
    with (directory / "output.log").open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(block[:left])


def taken(http: httpx.Client, path: str, **headers: str) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    http.get(path, headers=headers).raise_for_status()
    return (time.perf_counter() - began) * 1000


def report(name: str, small: list[float], large: list[float]) -> bool:
    few, many = statistics.median(small), statistics.median(large)
    print(f"{name:28} {few:9.2f} {many:9.2f} {many / few:7.2f} {GOAL:6.1f}")
    return many <= GOAL * few


def main() -> int:
    options = _options()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rl-hist-")))
        few = stack.enter_context(gateway(root / "few", f"sqlite:///{root}/few.db", 100))
        many = stack.enter_context(gateway(root / "many", options.database or f"sqlite:///{root}/many.db", options.jobs))
        print(f"{'median ms':28} {'100 jobs':>9} {options.jobs:>9} {'ratio':>7} {'goal':>6}")
        good = [compare(name, few, many, question, options.rounds) for name, question in QUESTIONS.items()]
        print(f"\n{'median ms':28} {'64 KiB':>9} {'1 GiB':>9} {'ratio':>7} {'goal':>6}")
        good += [
            logs("a job with its log's end", many, "/mlops/training/jobs/{%s}", options.rounds),
            logs("last 100 lines", many, "/mlops/training/jobs/{%s}/logs?tail=100", options.rounds),
            logs("4 KiB out of it", many, "/mlops/training/jobs/{%s}/logs", options.rounds, Range="bytes=30000-34095"),
        ]
    return int(not all(good))


def compare(name: str, few: Gateway, many: Gateway, question: str, rounds: int) -> bool:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, each in zip(times, (few, many), strict=True):
            side.append(taken(each.http, each.path(question)))
    return report(name, *times)


def logs(name: str, many: Gateway, question: str, rounds: int, **headers: str) -> bool:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, size in zip(times, ("small", "large"), strict=True):
            side.append(taken(many.http, many.path(question % size), **headers))
    return report(name, *times)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--database", help="an empty database for the many jobs; else SQLite")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

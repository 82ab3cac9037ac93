"""Orders of batches for the real program, with a model in a folder."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from raylift.domain.batches.batch import BatchSpec, Format
from raylift.domain.batches.order import FILE, INPUT_FOLDER, WORK_FOLDER, BatchOrder
from serve_apps.batch.parts import Parts
from serve_apps.batch.plan import make_plan
from serve_apps.batch.publish import clean, prepare, publish, target_of
from serve_apps.batch.worker import Worker
from serve_apps.model_server.model import Model

PROGRAM = "import sys; from serve_apps.batch.program import main; main(sys.argv[1])"


def order_of(directory: Path, model: Path, *, processes: int = 1, **fields: Any) -> BatchOrder:
    """An order whose batch lives in ``directory``, and may read and write everything beside it."""
    for name in (INPUT_FOLDER, WORK_FOLDER):
        (directory / name).mkdir(parents=True, exist_ok=True)
    spec = replace(BatchSpec("m", "3", Format.PARQUET), **fields)
    folders = (str(directory.parent),)
    return BatchOrder("job_1", spec, str(directory), str(model), "http://127.0.0.1:9", None, folders, folders, processes)


def start(order: BatchOrder) -> subprocess.Popen[str]:
    """Start the program as an attempt does."""
    file = Path(order.directory) / FILE
    file.write_bytes(order.as_json())
    command = [sys.executable, "-c", PROGRAM, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def run(order: BatchOrder) -> str:
    """Run it to its end. Returns its output, which ends with the error of a batch that failed."""
    with start(order) as process:
        output, _ = process.communicate(timeout=300)
    return output


class Messages:
    """The end of a connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def run_here(order: BatchOrder, model: Model) -> dict[str, Any]:
    """Run a batch in this process, without starting others. Raises BatchFailed."""
    work = Path(order.directory) / WORK_FOLDER
    target, plan = target_of(order, work), make_plan(order)
    prepare(target)
    parts = Parts(work, target.hidden, order.spec.output_format)
    worker = Worker(order, plan, model, parts, cast("Connection", Messages()))
    for item in plan.items:
        worker.score(item)
    result = publish(order, plan, target, parts, work)
    clean(target)
    return result


def wait_for(is_there: Any, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.02)

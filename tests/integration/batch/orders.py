"""Orders of batches for the real program, with a model in a folder."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from raylift.domain.batches.batch import BatchSpec, Format
from raylift.domain.batches.order import FILE, INPUT_FOLDER, WORK_FOLDER, BatchOrder

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


def wait_for(is_there: Any, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.02)

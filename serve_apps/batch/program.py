"""Program of a batch's attempt. It has no connection to Ray and runs in the sandbox of scripts (docs/adr/0045)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from raylift.domain.batches.order import PLAN_FILE, RESULT_FILE, WORK_FOLDER, BatchOrder
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.parts import Part, Parts
from serve_apps.batch.plan import Plan, input_place, make_plan, require_unchanged, write_json
from serve_apps.batch.pool import processes
from serve_apps.batch.progress import ProgressReport
from serve_apps.batch.publish import Target, clean, is_publishing, prepare, publish, target_of
from serve_apps.batch.worker import Progress, Start
from serve_apps.model_server.loading.loader import fetch_copy

_THREAD_POOLS: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ARROW_NUM_THREADS",
)
"""One thread a process, as replicas of one CPU have: the batch has a process for each CPU."""


def main(order_file: str) -> None:
    """Run a batch to its end. Exits with a sentence where it fails."""
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue] - a text file
    for name in _THREAD_POOLS:
        os.environ[name] = "1"  # noqa: TID251 - for the processes of this batch
    try:
        run(BatchOrder.of(Path(order_file).read_bytes()))
    except BatchFailed as error:
        sys.exit(str(error))


def run(order: BatchOrder) -> None:
    """Score what is left to score, and publish the output.

    Raises:
        BatchFailed: It cannot be done.
    """
    work = Path(order.directory) / WORK_FOLDER
    if not work.is_dir():
        raise BatchFailed(f"This node does not see {order.directory}: batches run on the platform's own machine.")
    target = target_of(order, work)
    if (work / RESULT_FILE).exists():
        clean(target)
        return
    plan = Plan.read(work / PLAN_FILE)
    if plan is None:
        plan = make_plan(order)
        prepare(target)
        plan.write(work / PLAN_FILE)
    elif not is_publishing(work):
        prepare(target)
    parts = Parts(work, target.hidden, order.spec.output_format)
    report = ProgressReport(work, plan)
    if not is_publishing(work):
        _score(order, plan, target, parts, report)
        for file in plan.files:
            require_unchanged(input_place(order), file)
    report.report(phase="writing", now_at_once=True)
    result = publish(order, plan, target, parts, work)
    write_json(work / RESULT_FILE, result)
    clean(target)
    print(f"Done: {json.dumps(result)}")  # noqa: T201 - the job's log


def _score(order: BatchOrder, plan: Plan, target: Target, parts: Parts, report: ProgressReport) -> None:
    finished = parts.finished()
    for part in finished.values():
        report.take_finished(part.rows_in, plan.files[plan.items[part.number].file].size, part.rejected)
    left = [item for item in plan.items if item.number not in finished]
    if finished:
        print(f"Going on: {len(finished)} of {len(plan.items)} parts were finished before.")  # noqa: T201
    report.report(now_at_once=True)
    if not left:
        return
    spec = order.spec
    print(f"Scoring {len(plan.files)} files with {spec.model_name} version {spec.version}.")  # noqa: T201
    directory = Path(tempfile.mkdtemp(prefix="raylift-model-"))
    try:
        model = _fetch(order, directory)
        start = Start(order.as_json(), plan, str(model))
        with processes(start, target.hidden, min(order.processes, len(left))) as pool:
            for message in pool.run(left):
                match message:
                    case Progress():
                        report.add(message.rows, message.bytes)
                    case Part():
                        report.finish_item(message.rejected)
                    case None:
                        pass
                report.report()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fetch(order: BatchOrder, directory: Path) -> Path:
    spec = order.spec
    try:
        return fetch_copy(spec.model_name, spec.version, order.model_uri, order.mlflow_url, directory, order.files)
    except RuntimeError as error:
        raise BatchFailed(str(error)) from error

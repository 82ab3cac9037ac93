"""Run every hostile script on a real platform that serves a model, and write the results to docs/internals/reliability.md.

``python tests/e2e/hostile_table.py`` writes docs/internals/reliability.md, in some five minutes on two quiet
cores. It asks for /readyz and a prediction while each script runs: a request without an answer is a fault.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from raylift import Client, Job  # noqa: E402 - the path comes first
from raylift.launcher import LocalPlatform  # noqa: E402
from raylift.launcher.processes.platform_processes import processes_of  # noqa: E402
from tests.e2e.hostile_scripts import SCRIPTS, Hostile  # noqa: E402

BEGIN, END = "<!-- hostile table: begin -->", "<!-- hostile table: end -->"
MODEL: Final = "answers-all-the-while"
WRAPPER_ENDS_WITHIN_SECONDS: Final = 10.0
"""The script reports and then ends. The job is over when its report has been read."""
QUESTION: Final = {"model_name": MODEL, "inputs": [[2.5]]}
TRAIN: Final = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""
OVERRIDES: Final[dict[str, Any]] = {
    "ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0},
    "startup": {"timeout_seconds": 300},
    "serving": {"downscale_delay_seconds": 3600.0},
    "jobs": {
        "stop_grace_seconds": 2.0,
        "min_timeout_seconds": 1,
        "max_processes": 500,
        "max_scratch_bytes": 256 * 2**20,
        "max_log_bytes": 2**20,
    },
    # The tree of this script, even if another one is installed.
    "environment": {"set": {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}},
}


@dataclass
class Asking:
    """Sends two requests in a loop, each on a thread of its own."""

    url: str
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    faults: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=("/readyz", None)),
            threading.Thread(target=self._ask, args=("/mlops/inference", QUESTION)),
        ]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str, body: object) -> None:
        taken = self.seconds.setdefault("predict" if body else path, [])
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not self._stop.wait(0.02):
                began = time.perf_counter()
                try:
                    answer = http.post(path, json=body) if body else http.get(path)
                    if not answer.is_success:
                        self.faults.append(f"{path}: {answer.status_code} {answer.text[:80]}")
                except httpx.HTTPError as error:
                    self.faults.append(f"{path}: {error!r}")
                taken.append(time.perf_counter() - began)


@dataclass
class Row:
    """Result of one script."""

    hostile: Hostile
    job: Job
    seconds: float
    left: list[str]
    asking: Asking

    @property
    def faults(self) -> list[str]:
        found = [*self.asking.faults[:2], *self.left]
        got = (self.job.status, self.job.reason)
        if got != (self.hostile.status, self.hostile.reason):
            found.append(f"{got} and not {(self.hostile.status, self.hostile.reason)}: {self.job.message}")
        return found

    def as_cells(self) -> list[str]:
        answers = [
            f"{statistics.median(taken) * 1000:.0f} / {max(taken) * 1000:.0f} ms"
            for taken in self.asking.seconds.values()
            if taken
        ]
        state = f"`{self.job.status}`" + (f", `{self.job.reason}`" if self.job.reason else "")
        message = (self.job.message or "").replace("|", "\\|").replace("\n", " ")[:150]
        left = "; ".join(self.faults)[:200]
        return [self.hostile.name, state, message, f"**{left}**" if left else "nothing", f"{self.seconds:.0f} s", *answers]


def main() -> int:
    options = _options()
    state_dir = Path(tempfile.mkdtemp(prefix="rl-host-", dir="/tmp"))
    platform = LocalPlatform.start(state_dir, overrides=OVERRIDES)
    rows: list[Row] = []
    try:
        with Client(platform.url, timeout=120) as client:
            client.train(script_content=TRAIN, model=MODEL, experiment="hostile", memory="1GiB").wait(240, progress=False)
            _wait_for_answers(platform.url)
            rows = [_run(platform, client, each) for each in SCRIPTS if not options.only or options.only in each.name]
    finally:
        platform.stop()
        if left := processes_of(platform.record.instance):
            print("LEFT AFTER THE STOP:", left, flush=True)
        shutil.rmtree(state_dir)
    if not options.only:
        _write(rows, options.output)
    return int(any(row.faults for row in rows))


def _wait_for_answers(url: str) -> None:
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
        http.post("/mlops/inference", json=QUESTION, headers={"X-Scale-Up-Timeout": "120"}).raise_for_status()


def _run(platform: LocalPlatform, client: Client, hostile: Hostile) -> Row:
    with Asking(platform.url) as asking:
        job = client.train(
            script_content=hostile.script,
            experiment="hostile",
            memory="512MiB",
            cpus=1,
            timeout=hostile.timeout_seconds,
            autolog=False,
        )
        began = time.monotonic()
        if hostile.cancel_when is not None:
            _until_printed(job, hostile.cancel_when)
            began = time.monotonic()
            job.cancel()
        job.wait(120, progress=False, raise_on_failure=False)
        seconds = time.monotonic() - began
    row = Row(hostile, job, seconds, _left_by(job, platform.record.state_dir), asking)
    print("|", " | ".join(row.as_cells()), "|", flush=True)
    return row


def _until_printed(job: Job, text: str) -> None:
    give_up = time.monotonic() + 60
    while text not in job.logs():
        if time.monotonic() > give_up:
            raise TimeoutError(f"{job.job_id} has not printed {text!r}")
        time.sleep(0.1)


def _left_by(job: Job, state_dir: Path) -> list[str]:
    """Processes and large files that remain after the job has ended and its wrapper had time to end."""
    give_up = time.monotonic() + WRAPPER_ENDS_WITHIN_SECONDS
    while (found := _processes_of(job)) and time.monotonic() < give_up:
        time.sleep(0.1)
    attempt = state_dir / "attempts" / f"{job.job_id}-a1"
    size = sum(path.lstat().st_size for path in attempt.rglob("*"))
    return [*found, f"{size >> 20} MiB are left"] if size > 16 * 2**20 else found


def _processes_of(job: Job) -> list[str]:
    pids = (directory for directory in Path("/proc").iterdir() if directory.name.isdigit())
    return [f"process {directory.name} lives on" for directory in pids if _is_of(directory, job.job_id)]


def _is_of(directory: Path, job_id: str) -> bool:
    try:
        command = (directory / "cmdline").read_bytes()
        # A process that cleared its environment has its job as an argument.
        marked = job_id.encode() in (directory / "environ").read_bytes() + command
        # Ray's own processes of the submission end by themselves, later.
        return marked and not command.startswith(b"ray::")
    except OSError:
        return False


def _write(rows: list[Row], path: Path) -> None:
    names = ["script", "state, reason", "message", "left", "ended in", "/readyz", "prediction"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(row.as_cells()) + " |" for row in rows]
    note = f"Run on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores."
    table = "\n".join([BEGIN, "", *lines, "", note, "", END])
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="scripts whose name has this in it; writes nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "internals" / "reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

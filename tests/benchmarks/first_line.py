"""Time from the upload to the script's first line, beside `ray job submit` of the same script, in turns in one run.

    python tests/benchmarks/first_line.py [--rounds 10] [--row 20] [--state-dir DIR] [--sandbox]

Alone: each job is submitted after the one before has ended. In a row: all jobs are submitted without waiting. Starts a
platform of its own (SQLite) and stops it afterwards. With --state-dir it uses the running platform, which should be idle.
Goal: at most 1.1 times the raw submission, at the median. With --sandbox: jobs in the sandbox beside jobs without one
(`isolation: cluster`), alone only. Goal: at most 30 ms more at the median.
"""

from __future__ import annotations

import argparse
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from own_platform import platform, ray_headers

SCRIPT = "import time; print('first line at', time.time(), flush=True)"
ENDED = {"completed", "failed", "cancelled", "SUCCEEDED", "FAILED", "STOPPED"}
MIB = 2**20


class Submission:
    """One submitted script. ``path`` is its resource, ``log`` the resource of its output."""

    def __init__(self, http: httpx.Client, path: str, log: str, began: float) -> None:
        self.http = http
        self.path = path
        self.log = log
        self.began = began

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(self.path).raise_for_status().json()
        return answer

    def first_line(self) -> float:
        """Seconds from the submission to the first line. The script prints the time of its first line."""
        output: str = self.http.get(self.log).raise_for_status().json()["logs"]
        return float(output.partition("first line at ")[2].split()[0]) - self.began


Submit = Callable[[float], Submission]


def to_raylift(http: httpx.Client, isolation: str = "sandbox") -> Submit:
    def submit(cpus: float) -> Submission:
        resources = {"cpus": cpus, "memory": "256MiB"}
        began = time.time()
        body = {"script_content": SCRIPT, "experiment_name": "first-line", "resources": resources, "isolation": isolation}
        path = http.post("/mlops/training/upload", json=body).raise_for_status().json()["links"]["self"]
        return Submission(http, path, path, began)

    return submit


def to_ray(http: httpx.Client, script: Path) -> Submit:
    def submit(cpus: float) -> Submission:
        submission_id = f"bench-{uuid.uuid4().hex[:8]}"
        body = {
            "submission_id": submission_id,
            "entrypoint": f"python -u {script}",
            "entrypoint_num_cpus": cpus,
            "entrypoint_memory": 256 * MIB,
            # A new process, as Raylift and most users start it, not a reused one.
            "runtime_env": {"env_vars": {"BENCH": submission_id}},
        }
        began = time.time()
        http.post("/api/jobs/", json=body).raise_for_status()
        return Submission(http, f"/api/jobs/{submission_id}", f"/api/jobs/{submission_id}/logs", began)

    return submit


def finished(submissions: list[Submission]) -> list[float]:
    """Seconds to the first line of each. Waits until all have ended, so that none delays the next start."""
    end = time.monotonic() + 180
    for submission in submissions:
        while submission.state()["status"] not in ENDED:
            if time.monotonic() > end:
                raise SystemExit(f"{submission.path} is not over after three minutes")
            time.sleep(0.2)
    return [submission.first_line() for submission in submissions]


def report(name: str, theirs: list[float], ours: list[float]) -> None:
    for what, of in (("median", statistics.median), ("last", max)):
        print(f"{f'{name}, {what}':32} {of(theirs):15.2f} {of(ours):9.2f} {of(ours) / of(theirs):7.2f} {1.1:6.1f}", flush=True)


def report_phases(jobs: list[dict[str, Any]], lines: list[float]) -> None:
    """The platform's own account of that time: the phases until the script's process exists, and the rest."""
    before = [{name: job["phases"].get(name, 0.0) for name in ("queued", "environment", "starting")} for job in jobs]
    parts = {name: statistics.median(phases[name] for phases in before) for name in before[0]}
    rest = statistics.median(line - sum(phases.values()) for line, phases in zip(lines, before, strict=True))
    said = " + ".join(f"{name} {seconds:.3f}" for name, seconds in parts.items())
    print(f"phases, median s: {said}; first line less their sum {rest:+.3f}", flush=True)


def compare_sandbox(http: httpx.Client, rounds: int) -> None:
    """Print the medians with and without a sandbox. The order changes with each round."""
    free, sandboxed = to_raylift(http, "cluster"), to_raylift(http)
    finished([free(1), sandboxed(1)])
    lines: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for in_sandbox in (number % 2 == 0, number % 2 == 1):
            lines[in_sandbox] += finished([(sandboxed if in_sandbox else free)(1)])
    without, within = statistics.median(lines[False]), statistics.median(lines[True])
    pairs = sorted(one - other for one, other in zip(lines[True], lines[False], strict=True))
    print(f"without a sandbox {without:.3f} s, in it {within:.3f} s, ratio {within / without:.2f}, medians of {rounds}")
    print(f"more, of the pairs: median {statistics.median(pairs) * 1000:.0f} ms, quartiles", end=" ")
    print(f"{pairs[rounds // 4] * 1000:.0f} and {pairs[3 * rounds // 4] * 1000:.0f} ms; goal 30 ms", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--row", type=int, default=20)
    options.add_argument("--state-dir", type=Path)
    options.add_argument("--sandbox", action="store_true")
    chosen = options.parse_args()
    with (
        platform(chosen.state_dir) as running,
        httpx.Client(base_url=running.url, timeout=60, trust_env=False) as gateway,
        httpx.Client(
            base_url=running.record.ray_dashboard_url, headers=ray_headers(), timeout=60, trust_env=False
        ) as dashboard,
    ):
        if chosen.sandbox:
            compare_sandbox(gateway, chosen.rounds)
            return
        script = running.record.state_dir / "first_line.py"
        script.write_text(SCRIPT)
        raylift, ray = to_raylift(gateway), to_ray(dashboard, script)
        finished([ray(1), raylift(1)])  # The first submission of each side warms it up.
        print(f"{'submit to first line, s':32} {'ray job submit':>15} {'raylift':>9} {'ratio':>7} {'goal':>6}")
        theirs, ours, jobs = list[float](), list[float](), list[dict[str, Any]]()
        for _ in range(chosen.rounds):
            theirs += finished([ray(1)])
            mine = raylift(1)
            ours += finished([mine])
            jobs.append(mine.state())
        report(f"alone, {chosen.rounds} rounds in turns", theirs, ours)
        report_phases(jobs, ours)
        # A tenth of a CPU each, so that only the machine limits both sides.
        rows = [finished([submit(0.1) for _ in range(chosen.row)]) for submit in (ray, raylift, raylift, ray)]
        report(f"{chosen.row} in a row, twice", rows[0] + rows[3], rows[1] + rows[2])


if __name__ == "__main__":
    main()

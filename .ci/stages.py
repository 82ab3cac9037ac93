"""Run stages of the checks: ``stages.py lint types --beside limits --then unit integration --beside e2e``.

The stages of a lane run one after the other, the lanes beside each other: tests of real engines wait for much of their time,
and leave the processor to the others. The tests of limits wait, too, and many processes would disturb them: they run beside the
types. A lane ends with its first stage that fails, and the others with the stage they are at. What follows ``--then`` begins
when all before it is green.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = "--beside"
THEN = "--then"
LIMITS = (
    "tests/integration/job_entrypoints/test_limits.py",
    "tests/integration/job_entrypoints/test_hostile_scripts.py",
)
"""Integration tests that measure CPU, memory and time."""
CLUSTERS = (
    "tests/integration/environments/test_plugin.py",
    "tests/integration/environments/test_promised_environment.py",
    "tests/integration/model_server/test_gpus.py",
    "tests/integration/model_server/test_observed_on_serve.py",
    "tests/integration/model_server/test_on_serve.py",
)
"""Integration tests on clusters of Ray. In one process, they share them, and Ray's files of HAProxy, which have one place."""
STAGES: dict[str, list[list[str]]] = {
    "lint": [["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."]],
    "types": [["basedpyright"]],
    "imports": [["lint-imports"]],
    "console": [["python", ".ci/console_check.py"]],
    "unit": [["pytest", "-q", "-n", "2", "--durations=25", "tests/unit"]],
    "architecture": [["pytest", "-q", "tests/architecture"]],
    # --quiet: warnings and errors only; the site is strict, so that both fail.
    "docs": [
        ["env", "NO_MKDOCS_2_WARNING=1", "mkdocs", "build", "--quiet", "--config-file", ".mkdocs.yml"],
        ["python", ".ci/site.py", "build/site"],
    ],
    "contract": [["pytest", "-q", "-n", "2", "--durations=10", "tests/contract"]],
    # The tests of a file stay in one process: they share a server, a cluster or a model.
    "integration": [
        [
            *("pytest", "-q", "-n", "2", "--dist", "loadfile", "--durations=25", "-m", "not nightly", "tests/integration"),
            *(f"--ignore={file}" for file in (*LIMITS, *CLUSTERS)),
        ],
    ],
    "clusters": [["pytest", "-q", "--durations=15", "-m", "not nightly", *CLUSTERS]],
    "limits": [["pytest", "-q", "--durations=5", "-m", "not nightly", *LIMITS]],
    "e2e": [["pytest", "-q", "--durations=25", "-m", "not nightly", "tests/e2e"]],
    "nightly": [
        [
            "pytest",
            "-q",
            "-m",
            "nightly",
            "tests/e2e",
            "tests/integration",
            "tests/hosts",
            *(f"--ignore={file}" for file in CLUSTERS),
        ],
        # After the platform of e2e has ended: their clusters use the same files of HAProxy.
        ["pytest", "-q", "-m", "nightly", *CLUSTERS],
    ],
    "frameworks": [["pytest", "-q", "tests/frameworks"]],
    "release": [["pytest", "-q", "--durations=5", "tests/release"]],
    # On the platform of the wheel, in place of the stage before.
    "walk": [
        [
            *("pytest", "-q", "--durations=5", "tests/release/test_wheel.py", "tests/release/acceptance.py"),
            # The walk does it, and more.
            *("--deselect", "tests/release/test_wheel.py::test_wheel_trains_and_predicts"),
        ]
    ],
    "differential": [["pytest", "-q", "-n", "2", "tests/unit/model_server/test_library_answers.py"]],
}
_FAILURE = ("FAILED ", "ERROR ")
"""The words with which pytest's summary begins the line of a test that failed."""
_TESTS_RUN = re.compile(r"(\d+) (passed|failed|error)")


class Lane:
    """Stages that run one after the other, in a thread of their own."""

    def __init__(self, names: list[str], stop: threading.Event) -> None:
        self._names = names
        self._stop = stop
        self._cpu = 0.0
        self.report: list[str] = []
        self.failures: list[str] = []
        self.passed = self.failed = 0
        self.is_red = False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        for name in self._names:
            if self._stop.is_set():
                self.report.append(f"     {name} was not run")
                continue
            began, self._cpu = time.monotonic(), 0.0
            say(name, "─" * 60)
            is_green = all(self._command(name, command) for command in STAGES[name])
            self.report.append(
                f"{'ok  ' if is_green else 'FAIL'} {name:<13} {time.monotonic() - began:6.1f} s, {self._cpu:6.1f} s of CPU"
            )
            if not is_green:
                self.is_red = True
                # A stage that is no test run counts as one failure.
                self.failed = self.failed or 1
                self._stop.set()

    def _command(self, stage: str, command: list[str]) -> bool:
        """Run one command, pass its output on, and count its tests."""
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        last = ""
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - asked for
            for line in process.stdout:
                say(stage, line.rstrip())
                last = line if line.strip() else last
                if line.startswith(_FAILURE):
                    self.failures.append(f"{stage}: {line.rstrip()}")
            # With all its children but those that outlive their parents, as a platform's processes do.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self._cpu += usage.ru_utime + usage.ru_stime
        if command[0] == "pytest":
            counts = {outcome: int(count) for count, outcome in _TESTS_RUN.findall(last)}
            self.passed += counts.get("passed", 0)
            self.failed += counts.get("failed", 0) + counts.get("error", 0)
        return process.returncode == 0


def say(stage: str, line: str) -> None:
    print(f"{stage:>12} │ {line}", flush=True)


def main(arguments: list[str]) -> int:
    stop = threading.Event()
    all_lanes: list[Lane] = []
    for phase in split(arguments, THEN):
        lanes = [Lane(names, stop) for names in split(phase, BESIDE)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        all_lanes += lanes
    # At the end, where they are read even if only the end of the output is kept.
    print("─" * 80, *(line for lane in all_lanes for line in (*lane.failures, *lane.report)), sep="\n", flush=True)
    print(f"{sum(lane.passed for lane in all_lanes)} passed, {sum(lane.failed for lane in all_lanes)} failed", flush=True)
    return int(any(lane.is_red for lane in all_lanes))


def split(words: list[str], separator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run the named stages of the checks in their order, each timed; stop after the first that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, list[list[str]]] = {
    "lint": [["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."]],
    "types": [["basedpyright"]],
    "imports": [["lint-imports"]],
    "unit": [["pytest", "-q", "-n", "2", "tests/unit"]],
    "architecture": [["pytest", "-q", "tests/architecture"]],
    "contract": [["pytest", "-q", "-n", "2", "tests/contract"]],
    "integration": [
        # Each test of environments builds its own: two at a time.
        ["pytest", "-q", "-n", "2", "--durations=15", "tests/integration/environments"],
        ["pytest", "-q", "--durations=15", "tests/integration", "--ignore=tests/integration/environments"],
    ],
    "e2e": [["pytest", "-q", "--durations=15", "-m", "not nightly", "tests/e2e"]],
    "nightly": [["pytest", "-q", "-m", "nightly", "tests/e2e"]],
    "frameworks": [["pytest", "-q", "tests/frameworks"]],
    "release": [["pytest", "-q", "--durations=5", "tests/release"]],
    "differential": [["pytest", "-q", "-n", "2", "tests/unit/model_server/test_library_answers.py"]],
}
_TESTS_RUN = re.compile(r"(\d+) (passed|failed|error)")


def main(names: list[str]) -> int:
    lines: list[str] = []
    totals = {"passed": 0, "failed": 0}
    failed = False
    for name in names:
        began = time.monotonic()
        print(f"── {name} ", "─" * (76 - len(name)), sep="", flush=True)
        failed = not run_stage(STAGES[name], totals)
        lines.append(f"{'FAIL' if failed else 'ok  '} {name:<13} {time.monotonic() - began:6.1f} s")
        if failed:
            break
    print("─" * 80, *lines, *(f"     {name} was not run" for name in names[len(lines) :]), sep="\n", flush=True)
    if failed and not totals["failed"]:
        # A stage that is no test run: lint, types, imports.
        totals["failed"] = 1
    print(f"{totals['passed']} passed, {totals['failed']} failed", flush=True)
    return int(failed)


def run_stage(commands: list[list[str]], totals: dict[str, int]) -> bool:
    return all(run(command, totals) for command in commands)


def run(command: list[str], totals: dict[str, int]) -> bool:
    """Run one command, with its output passed on, and add the tests it counted."""
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
            print(line, end="", flush=True)
            last = line if line.strip() else last
    if command[0] == "pytest":
        for count, outcome in _TESTS_RUN.findall(last):
            totals["passed" if outcome == "passed" else "failed"] += int(count)
    return process.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run every cell of the fault table on real platforms and write it to docs/internals/reliability.md.

    python tests/e2e/fault_table.py

Takes about forty minutes on two idle cores. ``--minutes`` ends it earlier and marks the remaining cells as not run. With
``--results`` a later run continues after the last result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from raylift.launcher import LocalPlatform  # noqa: E402 - the path comes first
from raylift.launcher.processes.platform_processes import processes_of  # noqa: E402
from tests.e2e.faults import Fault, Moment, Outcome, Postgres, Victim  # noqa: E402

Cell = tuple[Victim, Moment]
BEGIN, END = "<!-- fault table: begin -->", "<!-- fault table: end -->"
NO_PROCESS = {(Victim.WRAPPER, moment) for moment in Moment if moment is not Moment.RUNNING}
"""Moments in which the jobs of a cell have no wrapper."""
ORDER = (Moment.RUNNING, Moment.REGISTERING, Moment.BUILDING, Moment.QUEUED, Moment.DEPLOYING)
"""The most informative victims first, for runs that end early."""


def main() -> int:
    options = _options()
    deadline = time.monotonic() + options.minutes * 60
    done: dict[Cell, Outcome | str] = _read(options.results)
    # On SQLite, the default. The cells of PostgreSQL run on a second platform.
    cells = [
        (victim, moment)
        for moment in ORDER
        for victim in Victim
        if (victim, moment) not in done and _wanted(options, victim, moment)
    ]
    _run([cell for cell in cells if cell[0] is not Victim.POSTGRESQL], done, options, deadline - 240, postgres=None)
    own = [cell for cell in cells if cell[0] is Victim.POSTGRESQL]
    if own and time.monotonic() < deadline:
        server = Postgres()
        try:
            server.start()
            _run(own, done, options, deadline, postgres=server)
        finally:
            server.stop()
    _write(done, options.output)
    return int(any(isinstance(outcome, str) or outcome.faults for outcome in done.values()))


def _run(
    cells: Iterable[Cell],
    done: dict[Cell, Outcome | str],
    options: argparse.Namespace,
    deadline: float,
    postgres: Postgres | None,
) -> None:
    state_dir = Path(tempfile.mkdtemp(prefix="rl-fault-", dir="/tmp"))
    overrides: dict[str, Any] = {
        "ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0},
        "startup": {"timeout_seconds": 300},
        "serving": {"downscale_delay_seconds": 5.0},
        "jobs": {"stop_grace_seconds": 2.0, "max_infrastructure_losses": 10},
        # The tree of this script, even if another one is installed.
        "environment": {"set": {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}},
    }
    database_url = None
    if postgres is not None:
        postgres._execute("CREATE DATABASE faults")
        database_url = overrides["database"] = postgres.url("faults")
    platform = LocalPlatform.start(state_dir, overrides=overrides)
    fault = Fault(platform, database_url=database_url, overrides=overrides, postgres=postgres)
    try:
        for cell in cells:
            if time.monotonic() > deadline:
                break
            outcome = done[cell] = _one(fault, cell, options)
            _say(outcome, cell)
            if options.results is not None and isinstance(outcome, Outcome):
                with options.results.open("a", encoding="utf-8") as results:
                    results.write(json.dumps(asdict(outcome)) + "\n")
            _write(done, options.output)
    finally:
        fault.store.close()
        fault.platform.stop()
        if left := processes_of(fault.platform.record.instance):
            print("LEFT AFTER THE STOP:", left, flush=True)
        if not options.keep:
            shutil.rmtree(state_dir)


def _read(path: Path | None) -> dict[Cell, Outcome | str]:
    if path is None or not path.exists():
        return {}
    outcomes = [Outcome(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(Victim(outcome.victim), Moment(outcome.moment)): outcome for outcome in outcomes}


def _one(fault: Fault, cell: Cell, options: argparse.Namespace) -> Outcome | str:
    victim, moment = cell
    try:
        return fault.run(victim, moment, options.deploying if moment is Moment.DEPLOYING else options.jobs)
    except Exception:  # noqa: BLE001 - one broken cell must not lose the others
        traceback.print_exc()
        return traceback.format_exc().strip().splitlines()[-1]


def _say(outcome: Outcome | str, cell: Cell) -> None:
    text = outcome if isinstance(outcome, str) else json.dumps(asdict(outcome))
    print(datetime.now(UTC).strftime("%H:%M:%S"), *cell, text, flush=True)


def _wanted(options: argparse.Namespace, victim: Victim, moment: Moment) -> bool:
    chosen = not options.victim or victim.lower() in options.victim
    return chosen and (not options.moment or moment in options.moment) and (victim, moment) not in NO_PROCESS


def _write(done: dict[Cell, Outcome | str], path: Path) -> None:
    lines = ["| killed | " + " | ".join(Moment) + " |", "|---" * (len(Moment) + 1) + "|"]
    lines += [f"| {victim} | " + " | ".join(_shown(done, (victim, moment)) for moment in Moment) + " |" for victim in Victim]
    text = path.read_text(encoding="utf-8")
    table = "\n".join([BEGIN, "", *lines, "", f"Run on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores.", "", END])
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


def _shown(done: dict[Cell, Outcome | str], cell: Cell) -> str:
    if cell in NO_PROCESS:
        return "no such process"
    outcome = done.get(cell)
    if outcome is None:
        return "not run"
    if isinstance(outcome, str):
        return f"**broke off**: {outcome[:80]}"
    again = f", {outcome.attempts - outcome.jobs} again" if outcome.attempts > outcome.jobs else ""
    verdict = f"{outcome.completed}/{outcome.jobs}{again}, {outcome.seconds:.0f} s"
    return verdict if outcome.nothing_lost_or_doubled else f"**{verdict}; {'; '.join(outcome.faults)[:200]}**"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=90, help="begin no cell after that")
    parser.add_argument("--jobs", type=int, default=20, help="jobs a cell")
    parser.add_argument(
        "--deploying", type=int, default=4, help="jobs of the cells in which models are deployed: each is a process"
    )
    parser.add_argument("--victim", action="append", default=[], help="only this one, e.g. raylet; may be repeated")
    parser.add_argument("--moment", action="append", default=[], choices=list(Moment))
    parser.add_argument("--results", type=Path, help="a file of outcomes, to go on with")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "internals" / "reliability.md")
    parser.add_argument("--keep", action="store_true", help="keep the state directories")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

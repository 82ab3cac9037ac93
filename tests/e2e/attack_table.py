"""Run every attack on a real platform, as root and as another user, and write what it got to docs/internals/reliability.md.

``python tests/e2e/attack_table.py`` takes some four minutes. Started by root, it runs a second platform as another user;
else there is only the one of this user.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from job_entrypoints.linux.namespaces import hide, leave_ipc_and_mounts  # noqa: E402 - the path comes first
from job_entrypoints.linux.privileges import become_user  # noqa: E402
from job_entrypoints.sandbox.paths import closed_above  # noqa: E402
from raylift import Client  # noqa: E402
from raylift.launcher import LocalPlatform  # noqa: E402
from tests.e2e.attack_scripts import ATTACKS, Attack  # noqa: E402
from tests.e2e.attacking import run, run_batch, run_model, targets  # noqa: E402

BEGIN, END = "<!-- attack table: begin -->", "<!-- attack table: end -->"
NOBODY: Final = 65534
_OF_MODEL: Final = "model: "
_OF_BATCH: Final = "batch: "
TRAIN: Final = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""
OVERRIDES: Final[dict[str, Any]] = {
    "ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0, "grpc": 0},
    "startup": {"timeout_seconds": 300},
    # The tree of this script, even if another one is installed.
    "environment": {"set": {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}},
}


def main() -> int:
    options = _options()
    if options.report is not None:
        options.report.write_text(json.dumps(attack(options.only)), encoding="utf-8")
        return 0
    columns = {"root" if os.geteuid() == 0 else f"uid {os.geteuid()}": attack(options.only)}
    print(json.dumps(columns, indent=1), flush=True)
    if os.geteuid() == 0:
        columns["another user"] = _as_nobody(options.only)
        print(json.dumps(columns["another user"], indent=1), flush=True)
    if not options.only:
        _write(columns, options.output)
    return int(any(got for column in columns.values() for key, got in column.items() if key != "held"))


def attack(only: str | None) -> dict[str, list[str]]:
    """Run the attacks on a platform of this process's user. Returns what each got, and the mechanisms that held."""
    state_dir = Path(tempfile.mkdtemp(prefix="rl-atk-", dir="/var/tmp"))
    try:
        platform = LocalPlatform.start(state_dir, overrides=OVERRIDES)
    except BaseException:
        shutil.rmtree(state_dir)
        raise
    try:
        with Client(platform.url, timeout=120) as client:
            other = client.train(script_content=TRAIN, model="victim", deploy=False).wait(240, progress=False)
            held = other.view.usage.isolated_by if other.view.usage else []
            with targets(platform, other) as places:
                got = {each.name: run(client, each, places) for each in ATTACKS if not only or only in each.name}
                model = {} if only else run_model(client, "attacker", places)
                batch = {} if only else run_batch(client, "attacker")
    finally:
        platform.stop()
        shutil.rmtree(state_dir)
    of_model = {_OF_MODEL + name: found for name, found in model.items()}
    return {"held": held, **got, **of_model, **{_OF_BATCH + name: found for name, found in batch.items()}}


def _as_nobody(only: str | None) -> dict[str, list[str]]:
    """Run them as a user without rights. Closed folders on the way to Python are opened in that process alone."""
    home = Path(tempfile.mkdtemp(prefix="rl-nobody-", dir="/var/tmp"))
    os.chown(home, NOBODY, NOBODY)
    report = home / "report.json"
    child = os.fork()
    if child == 0:
        try:
            needed = [sys.prefix, sys.base_prefix, str(ROOT), *filter(os.path.isabs, sys.path)]
            leave_ipc_and_mounts()
            for folder, kept in closed_above(sorted(set(needed))).items():
                hide(folder, except_for=kept)
            become_user(NOBODY)
            command = [sys.executable, __file__, "--report", str(report), *(["--only", only] if only else [])]
            kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RAYLIFT_"))}
            os.chdir(home)
            os.execve(sys.executable, command, {**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"})
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        shutil.rmtree(home)
        raise SystemExit("the platform of another user did not run")
    found: dict[str, list[str]] = json.loads(report.read_text(encoding="utf-8"))
    shutil.rmtree(home)
    return found


def _write(columns: dict[str, dict[str, list[str]]], path: Path) -> None:
    heads = [head for column in columns for head in (column, f"a model, {column}", f"a batch, {column}")]
    lines = ["| attack | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for each in ATTACKS:
        lines.append(
            "| " + " | ".join([each.name, *(cell for found in columns.values() for cell in _cells(each, found))]) + " |"
        )
    lines.append("| *held by* | " + " | ".join(", ".join(column["held"]) + " | | " for column in columns.values()) + " |")
    kernel = os.uname().release.partition("-")[0]
    note = f"Run on {datetime.now(UTC):%Y-%m-%d}, Linux {kernel}."
    table = "\n".join([BEGIN, "", *lines, "", note, "", END])
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


def _cells(attack: Attack, found: dict[str, list[str]]) -> Iterator[str]:
    """Yield what a script got, a model, and a model in a batch."""
    yield _cell(found[attack.name])
    for where in (_OF_MODEL, _OF_BATCH):
        yield _cell(found[where + attack.name]) if attack.of_models else "-"


def _cell(got: list[str]) -> str:
    text = "; ".join(got)[:200].replace("|", "\\|")
    return f"**{text}**" if text else "nothing"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="attacks whose name has this in it; writes nothing")
    parser.add_argument("--report", type=Path, help="write what each got as JSON, for a run as another user")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "internals" / "reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

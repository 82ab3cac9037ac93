"""The built wheel in an empty environment, and a platform that is started from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = ROOT / "examples" / "training_scripts" / "sklearn_classification.py"


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command without the variables that lead to the tree or to another platform. Returns its standard output."""
    names_left_out = ("RAYLIFT", "RAY_", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names_left_out)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ``bin`` of a new environment with the wheel and its dependencies at the versions of constraints.txt."""
    folder = tmp_path_factory.mktemp("environment")
    python = folder / "bin" / "python"
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder, cwd=folder)
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(*uv, "pip", "install", "--quiet", "--python", python, *constraints, f"{wheel}[server]", cwd=folder)
    yield python.parent
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory. It holds the training script only."""
    folder = tmp_path_factory.mktemp("empty")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture(scope="session")
def url(programs: Path, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a platform that was started from the wheel."""
    state = tmp_path_factory.mktemp("state")
    config = state / "slow_machine.yaml"
    # The first start in an environment compiles every module.
    config.write_text("startup: {timeout_seconds: 300}", encoding="ascii")
    ports = ("--port", "0", "--dashboard-port", "0", "--mlflow-port", "0")
    try:
        started: dict[str, Any] = json.loads(
            run(programs / "raylift", "up", "--state-dir", state, "--config", config, *ports, "--output", "json", cwd=empty)
        )
        yield started["urls"]["api"]
    finally:
        run(programs / "raylift", "down", "--state-dir", state, cwd=empty)

"""The built wheel, in an empty environment and an empty directory: it starts, trains, predicts and stops."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import raylift

pytestmark = pytest.mark.timeout(900)

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = ROOT / "examples" / "training_scripts" / "sklearn_classification.py"
CONSOLE: Final = "serve_apps/console"
PACKAGES: Final = ("platform/raylift", "serve_apps", "job_entrypoints")


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory. It holds the training script only."""
    folder = tmp_path_factory.mktemp("empty")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture(scope="module")
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


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    in_git = [name for name in listed.splitlines() if not name.startswith(f"{CONSOLE}/web/")]
    expected = {name.removeprefix("platform/") for name in in_git} | {"raylift/launcher/local.yaml"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    built = {name for name in held if name.startswith(f"{CONSOLE}/static/")}
    assert held - built == expected
    assert {f"{CONSOLE}/static/index.html", f"{CONSOLE}/static/docs.html"} <= built
    assert any(name.endswith(".js.gz") for name in built)


def test_packages_come_from_the_wheel(programs: Path, empty: Path) -> None:
    code = "import raylift, serve_apps, job_entrypoints; print(raylift.__file__, serve_apps.__file__, job_entrypoints.__file__)"
    places = run(programs / "python", "-c", code, cwd=empty).split()
    assert all(Path(place).is_relative_to(programs.parent) for place in places)
    assert run(programs / "raylift", "--version", cwd=empty).strip() == f"raylift {raylift.__version__}"


def test_wheel_shows_the_console(url: str) -> None:
    page = httpx.get(f"{url}/console/jobs")
    assert page.status_code == 200
    (script,) = re.findall(r'src="(/console/assets/[^"]+\.js)"', page.text)
    assert httpx.get(f"{url}{script}").headers["cache-control"].endswith("immutable")


def test_wheel_trains_and_predicts(programs: Path, empty: Path, url: str) -> None:
    program = programs / "raylift"
    run(program, "train", SCRIPT.name, "--experiment", "wheel", "--model", "wheel", "--follow", cwd=empty, RAYLIFT_URL=url)
    row = json.dumps({f"feature_{number}": [0.5] for number in range(20)})
    answer = json.loads(run(program, "predict", "wheel", "--inputs", row, "--output", "json", cwd=empty, RAYLIFT_URL=url))
    assert answer["predictions"] in ([0], [1])

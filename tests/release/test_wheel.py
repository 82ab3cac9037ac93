"""The built wheel, in an empty environment and an empty directory: it starts, trains, predicts and stops."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Final

import httpx
import pytest

import raylift
from tests.release.conftest import ROOT, SCRIPT, run

pytestmark = pytest.mark.timeout(900)

CONSOLE: Final = "serve_apps/console"
PACKAGES: Final = ("platform/raylift", "serve_apps", "job_entrypoints")


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

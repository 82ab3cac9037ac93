"""Checks of the container recipe. No test builds the image: that needs a container engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "cluster_configs"


def test_dockerfile_passes_the_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_start_script_of_the_container_parses() -> None:
    script = FOLDER / "container.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["/bin/sh", "-n", script], check=True)


def test_every_copied_file_is_in_the_build_context() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    sources = [word for word in copied if not word.startswith("--")]
    assert sources
    assert not [source for source in sources if source.partition("/")[0] not in allowed]
    assert not [source for source in sources if not (FOLDER.parent / source).exists()]

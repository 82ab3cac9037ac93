"""Rules for files and folders that no linter checks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("platform/raylift", "serve_apps", "job_entrypoints")
GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base_utils"}
LARGEST_FILE = 400
LARGEST_FOLDER = 16
LARGER_FOR_NOW: dict[str, int] = {}
"""Files over the limit, with their number of lines. The numbers may only shrink."""


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_platform_folder_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would shadow the standard library's platform module"


def test_files_are_named_by_a_noun() -> None:
    named = [path for path in python_files() if path.stem in GRAB_BAGS or path.parent.name in GRAB_BAGS]
    assert not named, f"say what is in them: {named}"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = LARGER_FOR_NOW.get(str(path.relative_to(ROOT)), LARGEST_FILE)
    assert lines <= limit, f"{lines} lines: one subject a file"


def test_folders_have_few_files() -> None:
    folders = {path.parent for path in python_files()}
    counts = {folder: sum(1 for path in folder.glob("*.py") if path.stem != "__init__") for folder in folders}
    large = {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > LARGEST_FOLDER}
    assert not large, f"make rooms by subject: {large}"


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_file_names_a_package_registry() -> None:
    """Package indexes are settings of the machine (of uv and pip), not of the project."""
    hosts = [b"pypi" + b".org", b"python" + b"hosted.org", b"registry." + b"npmjs.org", b"deb." + b"debian.org"]
    naming = [path for path in tracked_files() if any(host in path.read_bytes() for host in hosts)]
    assert not naming


def test_header_names_and_paths_are_written_once() -> None:
    literal = re.compile(r"""["'](x-raylift-[a-z-]+["']|/mlops|/v[12]/models)""", re.IGNORECASE)
    once = {ROOT / "platform" / "raylift" / "api" / name for name in ("headers.py", "paths.py")}
    once.add(ROOT / "job_entrypoints" / "contract.py")  # The wrapper imports nothing of the platform.
    found = [path for path in python_files() if path not in once and literal.search(path.read_text(encoding="utf-8"))]
    assert not found, f"use raylift.api.headers and raylift.api.paths: {found}"

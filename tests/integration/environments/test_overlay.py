"""Overlays that the real uv builds."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from raylift.engines.environments.errors import EnvironmentBuildFailed
from raylift.engines.environments.overlays import overlay
from raylift.engines.environments.overlays.overlay import ensure_overlay, overlay_directory

_PROBE = """
import json, sys, joblib, numpy, job_entrypoints, raylift
print(json.dumps([joblib.VERSION if hasattr(joblib, "VERSION") else None, numpy.__file__, sys.prefix]))
"""


def _run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_overlay_wins_over_the_base_and_sees_all_of_it(root: Path, wheels) -> None:
    wheels("joblib", "0.9")
    python = ensure_overlay(["joblib==0.9"], root)
    version, numpy, prefix = json.loads(_run(python, "-c", _PROBE))
    assert version == "0.9"
    assert numpy.startswith(sys.prefix)
    assert Path(prefix) == overlay_directory(["joblib==0.9"], root) == python.parent.parent


def test_nothing_of_the_base_is_installed_again(root: Path, wheels) -> None:
    wheels("probe", "1.0", "numpy")
    python = ensure_overlay(["probe==1.0"], root)
    assert not list(python.parent.parent.rglob("numpy*"))
    assert sum(path.stat().st_size for path in python.parent.parent.rglob("*") if path.is_file()) < 20_000_000


def test_console_scripts_run_in_the_overlay(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root)
    assert _run(python.parent / "probe-say") == "1.0"


def test_overlay_is_built_once(root: Path, wheels, monkeypatch) -> None:
    wheels("probe", "1.0")
    first = ensure_overlay(["probe==1.0"], root)
    monkeypatch.setattr(overlay, "run_uv", None)
    assert ensure_overlay(["probe==1.0"], root) == first


def test_overlay_is_built_once_by_many_processes(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        found = set(pool.map(partial(_build_and_look, root=root), range(8)))
    assert len(found) == 1


def _build_and_look(_number: int, *, root: Path) -> tuple[str, int, int]:
    python = ensure_overlay(["probe==1.0"], root)
    ready = (python.parent.parent / ".ok").stat()
    return str(python), ready.st_ino, ready.st_mtime_ns


def test_half_built_overlay_is_built_anew(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    directory = overlay_directory(["probe==1.0"], root)
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "python").write_text("left by a killed build")
    assert _run(ensure_overlay(["probe==1.0"], root), "-c", "import probe; print(probe.VERSION)") == "1.0"


def test_overlay_whose_interpreter_is_gone_is_built_anew(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root)
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert _run(ensure_overlay(["probe==1.0"], root), "-c", "import probe; print(probe.VERSION)") == "1.0"


def test_failed_build_says_why_and_leaves_no_files(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    with pytest.raises(EnvironmentBuildFailed, match=r"^The environment of probe==2.0 could not be built: .*probe==2.0"):
        ensure_overlay(["probe==2.0"], root)
    assert not overlay_directory(["probe==2.0"], root).exists()
    wheels("probe", "2.0")
    assert ensure_overlay(["probe==2.0"], root).exists()

"""Every job pays for the modules that the wrapper imports at its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import job_entrypoints

ROOT = Path(str(job_entrypoints.__file__)).parents[1]
SLOW = {
    "dataclasses",
    "typing",
    "subprocess",
    "argparse",
    "pathlib",
    "inspect",
    "tempfile",
    "traceback",
    "asyncio",
    "logging",
    "threading",
}


def loaded_with(module: str) -> set[str]:
    code = (
        f"import sys; old = {{*sys.modules}}; sys.path.append({str(ROOT)!r}); import {module}; print(*({{*sys.modules}} - old))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_wrapper_imports_no_slow_module() -> None:
    assert not loaded_with("job_entrypoints.train") & SLOW


def test_contract_imports_nothing() -> None:
    assert loaded_with("job_entrypoints.contract") == {"__future__", "job_entrypoints", "job_entrypoints.contract"}

"""The command line on a machine that has only the client."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDE_RAY = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "ray" else found(name, package)
for name in ("ray", "mlflow", "sqlalchemy", "fastapi", "numpy", "pandas", "starlette", "uvicorn", "click"):
    sys.modules[name] = None
from raylift.cli.app import main
sys.argv = ["raylift", *sys.argv[1:]]
main()
"""


def raylift(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HIDE_RAY, *args], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor"])
def test_platform_commands_name_the_missing_extra(command: str):
    done = raylift(command, "--state-dir", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "raylift[server]"' in done.stderr


def test_other_commands_work_without_the_server():
    assert raylift("version").returncode == 0
    assert raylift("jobs", "list", "--url", "http://127.0.0.1:9").returncode == 4

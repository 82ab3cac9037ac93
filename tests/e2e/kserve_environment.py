"""An environment with KServe's client, whose packages conflict with the platform's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_KSERVE: Final = "kserve==0.21.0"
_CLIENT: Final = Path(__file__).with_name("kserve_client.py")


def python_with_kserve(directory: Path) -> str:
    """Make the environment below ``directory``. Returns its interpreter."""
    uv, python = str(Path(sys.executable).with_name("uv")), str(directory / "kserve/bin/python")
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(directory / "kserve")], check=True, timeout=60)
    subprocess.run([uv, "pip", "install", "-q", "-p", python, _KSERVE], check=True, timeout=300)
    return python


def answers_to_kserve(python: str, *arguments: str, key: str | None = None) -> dict[str, Any]:
    """Run ``kserve_client.py`` with an address and names of models. Returns the answers that it got."""
    environment = {name: value for name, value in os.environ.items() if name not in {"RAYLIFT_API_KEY", "PYTHONPATH"}}
    done = subprocess.run(
        [python, str(_CLIENT), *arguments],
        env=environment | ({"RAYLIFT_API_KEY": key} if key else {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found

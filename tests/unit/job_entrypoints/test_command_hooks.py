from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from job_entrypoints.script.command_hooks import INSTRUCTIONS, SITE_FOLDER, hook_pythons_of_command

ROOT = Path(__file__).resolve().parents[3]
SHOW = (
    "import json, os, sys; print(json.dumps({"
    "'hooked': [type(f).__name__ for f in sys.meta_path].count('ImportWatch'), "
    "'path': os.environ.get('PYTHONPATH'), 'instructions': os.environ.get('RAYLIFT_COMMAND_HOOKS'), "
    "'folder': any(p.endswith('command_site') for p in sys.path)}))"
)


def shell(command: str, tmp_path: Path, **environment: str) -> list[dict[str, object]]:
    script = tmp_path / "show.py"
    script.write_text(SHOW)
    variables = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "SHOW": str(script), **environment}
    hook_pythons_of_command(variables, json.dumps({"autolog": True, "environment_lock": [], "project": ""}))
    done = subprocess.run(["/bin/sh", "-c", command], env=variables, capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_python_of_the_shell_is_hooked_without_traces(tmp_path: Path) -> None:
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    shown = shell("$PYTHON $SHOW; $PYTHON $SHOW", tmp_path, PYTHONPATH=path)
    expected = {"hooked": 1, "path": path, "instructions": None, "folder": False}
    assert shown == [expected, expected]


def test_their_child_processes_are_not_hooked(tmp_path: Path) -> None:
    code = "import os, subprocess, sys; subprocess.run([sys.executable, os.environ['SHOW']], check=True)"
    (shown,) = shell(f'$PYTHON -c "{code}"', tmp_path)
    assert shown == {"hooked": 0, "path": None, "instructions": None, "folder": False}


def test_sitecustomize_of_the_environment_runs_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['RAYLIFT_COMMAND_HOOKS'] = 'its own'\n")
    (shown,) = shell("$PYTHON $SHOW", tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert (shown["instructions"], shown["hooked"]) == ("its own", 1)


def test_command_site_is_first_on_the_path(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": "/a"}
    hook_pythons_of_command(environment, "{}")
    assert environment == {"PYTHONPATH": f"{SITE_FOLDER}{os.pathsep}/a", INSTRUCTIONS: "{}"}

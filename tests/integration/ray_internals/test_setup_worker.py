"""Our first step of a worker's start sets the same variables and arguments as Ray's own file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.runtime_env.context import RuntimeEnvContext

from raylift.ray_internals.setup_worker import WORKING_DIRECTORY, worker_command
from raylift.ray_internals.start import SETUP_WORKER

RAYS_OWN = Path(ray.__file__).parent / "_private" / "workers" / "setup_worker.py"
WORKER = """
import json, os, sys
import ray  # Sets variables of its own, and did so in Ray's first step too.
print(json.dumps([sys.argv, dict(os.environ), sys.flags.optimize, os.getcwd()]))
"""
OURS = {"RAYLIFT_SUBMISSION_ID": "job_1-a1"}


def as_started_by(setup_worker: Path, context: Mapping[str, Any], worker: Path) -> Any:
    """Arguments, variables and flags of a worker."""
    command = [sys.executable, str(setup_worker), str(worker), "--node-ip-address=127.0.0.1", "a b", "--language=PYTHON"]
    command += [f"--serialized-runtime-env-context={json.dumps(context)}", "--runtime-env-hash=-7", "it's $HOME"]
    environment = {"PATH": os.environ["PATH"], "HOME": "/somewhere", "TAKEN": "before"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    path = tmp_path / "default worker.py"
    path.write_text(WORKER)
    return path


@pytest.mark.parametrize(
    "context",
    [
        {"env_vars": OURS},
        {"env_vars": OURS, "py_executable": f"{sys.executable} -OO"},
        {"env_vars": {**OURS, "PATH": "/first:${PATH}", "A": "$TAKEN", "B": "[${A}]", "C": "${NOT_THERE}"}},
        {"env_vars": {**OURS, "A": "a b's", "TAKEN": ""}},
        # Left to Ray's own file: not a process of the platform, or with an option that only Ray's file handles.
        {"env_vars": {"A": "${TAKEN}"}},
        {},
        {"env_vars": OURS, "command_prefix": ["echo", "prefixed", ">&2;"]},
    ],
)
def test_worker_gets_the_same_as_from_ray_s_own_file(context: dict[str, Any], worker: Path) -> None:
    whole = json.loads(RuntimeEnvContext(**context).serialize())

    assert as_started_by(SETUP_WORKER, whole, worker) == as_started_by(RAYS_OWN, whole, worker)


@pytest.mark.parametrize("prefix", [[], ["true", "&&"]], ids=["by our file", "by Ray's own file"])
def test_tasks_of_a_job_start_in_its_working_directory(prefix: list[str], worker: Path, tmp_path: Path) -> None:
    context = RuntimeEnvContext(command_prefix=prefix, env_vars={**OURS, WORKING_DIRECTORY: str(tmp_path)})

    assert as_started_by(SETUP_WORKER, json.loads(context.serialize()), worker)[-1] == str(tmp_path)


def test_missing_working_directory_is_ignored(worker: Path, tmp_path: Path) -> None:
    context = RuntimeEnvContext(env_vars={**OURS, WORKING_DIRECTORY: str(tmp_path / "elsewhere")})

    assert as_started_by(SETUP_WORKER, json.loads(context.serialize()), worker)[-1] == str(Path.cwd())


def test_platform_workers_start_without_importing_ray() -> None:
    context = RuntimeEnvContext(env_vars=OURS).serialize()
    loading = "import runpy, sys; sys.argv = sys.argv[1:]; import os; os.execvp = lambda *_: print('ray' in sys.modules)"
    command = [sys.executable, "-c", f"{loading}; runpy.run_path(sys.argv[0], run_name='__main__')", str(SETUP_WORKER), "w.py"]
    done = subprocess.run(
        [*command, "--language=PYTHON", f"--serialized-runtime-env-context={context}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize(
    "context",
    [
        {"env_vars": {"A": "1"}},
        {"env_vars": OURS, "command_prefix": ["podman"]},
        {"env_vars": OURS, "override_worker_entrypoint": "/worker.py"},
        {"env_vars": OURS, "java_jars": ["a.jar"]},
        {"env_vars": OURS, "of_a_later_ray": None},
    ],
)
def test_unknown_context_is_left_to_ray(context: dict[str, Any]) -> None:
    arguments = ["w.py", "--language=PYTHON", f"--serialized-runtime-env-context={json.dumps(context)}"]

    assert worker_command(arguments) is None


def test_another_language_is_left_to_ray() -> None:
    context = json.dumps({"env_vars": OURS})

    assert worker_command(["w", "--language=JAVA", f"--serialized-runtime-env-context={context}"]) is None

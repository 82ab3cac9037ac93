"""First step of a worker's start: sets the variables of its runtime_env and executes the worker.

The raylet runs this file by its path before every worker with a runtime_env. Ray's own file of this name imports Ray, and the
worker imports it again, which costs half a second of CPU. This file uses only the standard library.

It handles only processes of the platform, which have a ``RAYLIFT_`` variable, and only fields that it knows. Ray's own file
handles all others. In both cases tasks and actors of a job start in its working directory.

A replica's worker starts in the base: packages of a version's environment may run code when an interpreter starts, and a worker
has Ray's token. The model's process, which has none, starts here in that environment, so that it imports its libraries
while Ray starts the worker.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Mapping
from typing import Any

_CONTEXT = "--serialized-runtime-env-context="
_LANGUAGE = "--language="
_OURS = "RAYLIFT_"
WORKING_DIRECTORY = "RAYLIFT_WORKING_DIRECTORY"
"""As job_entrypoints.contract.WORKING_DIRECTORY_VARIABLE, whose import would delay every worker's start."""
MODEL_PROCESS = "RAYLIFT_MODEL_PROCESS"
"""As raylift.domain.models.replica.MODEL_PROCESS. Replicas only."""
STARTED = "RAYLIFT_STARTED_MODEL"
"""Variable of a replica's worker: the process that was started for it (job_entrypoints/sandbox/model_process.py)."""
_OVERLAY = "RAYLIFT_OVERLAY"
"""As job_entrypoints.contract.OVERLAY_VARIABLE."""
_UNUSED = ("command_prefix", "override_worker_entrypoint", "java_jars")
"""Fields of Ray's ``RuntimeEnvContext`` that have to be empty: containers, conda, Java."""


def worker_command(arguments: list[str]) -> tuple[dict[str, str], list[str]] | None:
    """Return the variables and command of a worker from the raylet's arguments; None where Ray's own file must handle it."""
    context, rest, language = None, list[str](), None
    for argument in arguments:
        if argument.startswith(_CONTEXT):
            context = argument.removeprefix(_CONTEXT)
        elif argument.startswith(_LANGUAGE):
            language = argument.removeprefix(_LANGUAGE)
        else:
            rest.append(argument)
    fields: dict[str, Any] = json.loads(context or "{}")
    variables: dict[str, str] = fields.pop("env_vars", None) or {}
    python: str = fields.pop("py_executable", None) or sys.executable
    if MODEL_PROCESS in variables:
        python = sys.executable
    if language != "PYTHON" or any(fields.values()) or fields.keys() - set(_UNUSED):
        return None
    if not rest or not any(name.startswith(_OURS) for name in variables):
        return None
    # Unquoted and through a shell, because it may be a command with arguments.
    return variables, ["bash", "-c", " ".join(["exec", python, *map(shlex.quote, rest)])]


def context_of(arguments: list[str]) -> dict[str, Any]:
    """Return the worker's ``RuntimeEnvContext`` as JSON; empty without a runtime_env."""
    contexts = [argument.removeprefix(_CONTEXT) for argument in arguments if argument.startswith(_CONTEXT)]
    return json.loads(contexts[-1]) if contexts else {}


def start_model(variables: Mapping[str, str], python: str) -> None:
    """Start the process of a replica's model, and say so in a variable. ``python`` is of its environment, or the base's."""
    # Imported here: only replicas wait for it.
    from job_entrypoints.sandbox.model_process import start

    overlay = variables.get(_OVERLAY)
    if overlay is not None:
        python = f"{overlay}/bin/python"
    os.environ[STARTED] = start(json.loads(variables[MODEL_PROCESS]), python, overlay, os.environ).as_text()


def enter_working_directory(variables: Mapping[str, str]) -> None:
    """Enter the job's working directory, if this machine has it."""
    directory = variables.get(WORKING_DIRECTORY)
    if directory is not None and os.path.isdir(directory):  # noqa: PTH112 (importing pathlib takes some milliseconds)
        os.chdir(directory)


def set_variables(variables: Mapping[str, str]) -> None:
    """Set variables in order. ``$NAME`` and ``${NAME}`` are replaced by the values set so far."""
    for name, value in variables.items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))


def rays_own() -> str:
    """Return the path of Ray's own file, found without importing Ray."""
    ray = importlib.util.find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        raise SystemExit("Ray is not installed beside Raylift")
    return f"{ray.submodule_search_locations[0]}/_private/workers/setup_worker.py"


def main() -> None:
    context = context_of(sys.argv[1:])
    enter_working_directory(context.get("env_vars") or {})
    known = worker_command(sys.argv[1:])
    if known is None:
        sys.argv[0] = rays_own()
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    variables, command = known
    set_variables(variables)
    if MODEL_PROCESS in variables:
        start_model(variables, (context.get("py_executable") or sys.executable).partition(" ")[0])
    os.execvp(command[0], command)  # noqa: S606 (the command is a shell)


if __name__ == "__main__":
    main()

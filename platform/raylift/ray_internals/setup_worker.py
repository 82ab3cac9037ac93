"""First step of a worker's start: sets the variables of its runtime_env and executes the worker.

The raylet runs this file by its path before every worker with a runtime_env. Ray's own file of this name imports Ray, and the
worker imports it again, which costs half a second of CPU. This file uses only the standard library.

It handles only processes of the platform, which have a ``RAYLIFT_`` variable, and only fields that it knows. Ray's own file
handles all others. In both cases tasks and actors of a job start in its working directory, and replicas of models are confined.
Confinement by Landlock holds for one thread and for what it starts. So it has to come before the worker, which has many threads
when the model's code runs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

_CONTEXT = "--serialized-runtime-env-context="
_LANGUAGE = "--language="
_OURS = "RAYLIFT_"
WORKING_DIRECTORY = "RAYLIFT_WORKING_DIRECTORY"
"""As job_entrypoints.contract.WORKING_DIRECTORY_VARIABLE, whose import would delay every worker's start."""
CONFINEMENT = "RAYLIFT_CONFINEMENT"
"""As raylift.domain.models.replica.CONFINEMENT. Replicas only; JSON with the arguments of ``confine``."""
CONFINED, NOT_CONFINED = "RAYLIFT_CONFINED_BY", "RAYLIFT_NOT_CONFINED"
"""As in raylift.domain.models.replica: what holds, or why nothing does."""
_TEMP_DIR, _SESSION = "--temp-dir=", "--session-name="
_TOKEN, _TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
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


def confine_replica(context: Mapping[str, Any], arguments: list[str]) -> None:
    """Confine this process to the files of its model version and of Ray. Does nothing for other workers."""
    variables: dict[str, str] = context.get("env_vars") or {}
    if CONFINEMENT not in variables:
        return
    # Imported here: only replicas wait for it.
    from job_entrypoints.sandbox.servers import caches_in, confine

    asked: dict[str, Any] = json.loads(variables[CONFINEMENT])
    options = dict(argument.split("=", 1) for argument in arguments if argument.startswith((_TEMP_DIR, _SESSION)))
    rays = options[_TEMP_DIR[:-1]]
    for directory in asked["write"]:
        os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103 (as above)
    temp = _own_temp_directory()
    # Else the directory of Ray's session, by which it would reach what is hidden.
    os.chdir(temp)
    for name, value in caches_in(temp).items():
        os.environ.setdefault(name, value)
    # Of an environment that Ray has made itself, by its ``uv`` field.
    asked["read"].append((context.get("py_executable") or "").partition(" ")[0].rpartition("/bin/")[0])
    asked["write"] += [f"{rays}/{options[_SESSION[:-1]]}/logs", temp]
    try:
        held = confine(**asked, kept=[rays])
    except (OSError, RuntimeError) as error:
        # Ray would try again for ever without a word. The replica says it and loads nothing.
        os.environ[NOT_CONFINED] = str(error)
    else:
        os.environ[CONFINED] = ", ".join(held)


def _own_temp_directory() -> str:
    """Make a directory for temporary files, where other replicas have none. The token's file is out of reach from now on."""
    directory = f"{os.environ.get('TMPDIR', '/tmp')}/model-{os.getpid()}-{time.time_ns()}"  # noqa: S108 (mode 0700, and it must not exist)
    os.mkdir(directory, mode=0o700)  # noqa: PTH102 (as above)
    os.environ["TMPDIR"] = directory
    if _TOKEN_PATH in os.environ and _TOKEN not in os.environ:
        with open(os.environ.pop(_TOKEN_PATH), encoding="ascii") as file:  # noqa: PTH123 (as above)
            os.environ[_TOKEN] = file.read().strip()
    return directory


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
    confine_replica(context, sys.argv[1:])
    known = worker_command(sys.argv[1:])
    if known is None:
        sys.argv[0] = rays_own()
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    variables, command = known
    set_variables(variables)
    os.execvp(command[0], command)  # noqa: S606 (the command is a shell)


if __name__ == "__main__":
    main()

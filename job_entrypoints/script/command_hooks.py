"""Installs the MLflow hooks in Python processes that a job's shell command starts.

They find ``command_site/sitecustomize.py`` first on PYTHONPATH, which calls ``install`` here. Only direct children of the shell
get the hooks. Their own children (workers of a grid search) would log runs of their own.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, TracebackType

INSTRUCTIONS = "RAYLIFT_COMMAND_HOOKS"
"""Environment variable with the hooks' instructions. The first process that reads it removes it for its children."""

SITE_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "command_site")


def hook_pythons_of_command(environment: dict[str, str], instructions: str) -> None:
    """Change a shell's ``environment`` so that the Python processes it starts have the hooks."""
    environment[INSTRUCTIONS] = instructions
    environment["PYTHONPATH"] = os.pathsep.join(path for path in (SITE_FOLDER, environment.get("PYTHONPATH", "")) if path)


def install() -> None:
    """Install the hooks if a job's shell started this process. Its children inherit no trace of them."""
    instructions = os.environ.pop(INSTRUCTIONS, None)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != SITE_FOLDER]
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    else:
        os.environ.pop("PYTHONPATH", None)
    if instructions is not None:
        from job_entrypoints.tracking import import_hooks

        import_hooks.install(instructions, main_script)
        _note_uncaught_exceptions(instructions)


def _note_uncaught_exceptions(instructions: str) -> None:
    shown = sys.excepthook
    own_process = os.getpid()

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() == own_process:
            from job_entrypoints.script.end import note_end

            note_end(instructions, getattr(sys.modules.get("__main__"), "__file__", None) or "<command>", error)
        shown(kind, error, trace)

    sys.excepthook = excepthook


def main_script() -> CodeType:
    """Compile this process's ``__main__``; empty code if it has no file that compiles."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        with open(path or os.devnull, "rb") as file:
            return compile(file.read(), path or "<command>", "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return compile("", path or "<command>", "exec")

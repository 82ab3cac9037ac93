"""Describes the exception that ended a script in a sentence, with a hint. Imported only after an exception."""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_SHOWN_OF_A_GROUP = 5
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
_BEHIND_THE_SANDBOX = (
    "The script runs in a sandbox. If the path is on the platform's machine, the operator can open it (jobs.readable_paths, "
    "jobs.writable_paths). Else bring the file with a project: raylift train . --entrypoint SCRIPT"
)
_REFUSED_BY_THE_SANDBOX = (
    "The script runs in a sandbox, which refuses ports and processes of the platform, and networks that the job does not have. "
    "With network mlflow-only its own processes cannot connect to each other by TCP either; pipes and Unix sockets work."
)


def describe(error: BaseException, script: str, *, project: bool, sandboxed: bool = False) -> str | None:
    """Type and text of an exception, with its notes, the members of its group and a hint; None for a plain exit code.

    Args:
        error: The exception that ended the script.
        script: The script's path.
        project: True if it was uploaded with the files beside it.
        sandboxed: True if it ran in a sandbox.
    """
    if isinstance(error, SystemExit):
        # As in Python: a number is an exit code, anything else is printed.
        return None if error.code is None or isinstance(error.code, int) else _text(error.code)
    hint = _hint(error, os.path.basename(script), project=project, sandboxed=sandboxed)
    return f"{_described(error)}. {hint}" if hint else _described(error)


def _described(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    text = _text(error)
    parts = [f"{name}: {text}" if text else name]
    parts += [_text(note) for note in getattr(error, "__notes__", None) or ()]
    members = getattr(error, "exceptions", None) if isinstance(error, BaseExceptionGroup) else None
    if members:
        rest = len(members) - _SHOWN_OF_A_GROUP
        shown = [_described(member) for member in members[:_SHOWN_OF_A_GROUP]]
        parts.append(f"[{'; '.join([*shown, f'{rest} more'] if rest > 0 else shown)}]")
    return " ".join(parts)


def _text(value: object) -> str:
    try:
        return " ".join(str(value).split())
    except Exception:  # noqa: BLE001 - the user's own __str__
        return ""


def _hint(error: BaseException, script: str, *, project: bool, sandboxed: bool) -> str | None:
    if isinstance(error, BaseExceptionGroup):
        hints = (_hint(member, script, project=project, sandboxed=sandboxed) for member in error.exceptions)
        return next(filter(None, hints), None)
    if sandboxed and isinstance(error, OSError) and error.errno in _CLOSED and _is_outside(error.filename):
        return _BEHIND_THE_SANDBOX
    if sandboxed and isinstance(error, PermissionError) and error.filename is None:
        return _REFUSED_BY_THE_SANDBOX
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module(error.name, script, project=project)
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str) and not _from_subprocess(error.__traceback__):
        return _missing_file(error.filename, script, project=project)
    if isinstance(error, NameError) and error.name == "get_ipython":
        return "The script was made of a notebook: take out its magics, the lines that call get_ipython()."
    return None


def _missing_module(name: str, script: str, *, project: bool) -> str:
    package = name.partition(".")[0]
    if package != name and package in sys.modules:
        return f"The installed {package} does not have it: ask for the version that does with --requirements."
    if project:
        return f"If {package!r} is a package, name it with --requirements or in the project's requirements.txt."
    return (
        f"If {package!r} is a package, name it with --requirements. If it is a file beside the script, upload both as a "
        f"project: raylift train . --entrypoint {script}"
    )


def _missing_file(name: str, script: str, *, project: bool) -> str | None:
    if os.path.isabs(name):
        return "The job runs on a machine of the platform; there is no such path on it."
    if project:
        return "The script runs in the project's directory; files that .gitignore or .rayliftignore names are not uploaded."
    return (
        "A script that is uploaded alone runs in an empty directory. To bring the files beside it, upload them as a project: "
        f"raylift train . --entrypoint {script}"
    )


def _is_outside(name: object) -> bool:
    return isinstance(name, str) and os.path.isabs(name) and not name.startswith(os.getcwd() + os.sep)


def _from_subprocess(trace: TracebackType | None) -> bool:
    """True if a program was not found, rather than a file."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "subprocess"

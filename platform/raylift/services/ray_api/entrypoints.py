"""Entrypoints of Ray jobs: which are plainly a Python script with its arguments, and which need a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

_INTERPRETERS: Final = frozenset({"python", "python3"})
_UNBUFFERED: Final = "-u"
"""The one option of the interpreter that changes nothing here: output is never buffered."""

# Characters that mean themselves to a shell, and quotes in which nothing is expanded.
_WORD: Final = r"""(?:[\w@%+=:,./-]|'[^']*'|"[^"$`\\!]*")+"""
_PLAIN: Final = re.compile(rf"[ \t]*{_WORD}(?:[ \t]+{_WORD})*[ \t]*")


@dataclass(frozen=True, slots=True)
class PythonScript:
    """``python path args…``."""

    path: str
    args: tuple[str, ...]


def python_script(entrypoint: str) -> PythonScript | None:
    """The script that the entrypoint plainly runs; None for whatever a shell has to read."""
    if not _PLAIN.fullmatch(entrypoint):
        return None
    interpreter, *words = shlex.split(entrypoint)
    if words[:1] == [_UNBUFFERED]:
        words = words[1:]
    if interpreter not in _INTERPRETERS or not words:
        return None
    path, *args = words
    if path.startswith(("-", "/")) or not path.endswith(".py"):
        return None
    return PythonScript(path, tuple(args))

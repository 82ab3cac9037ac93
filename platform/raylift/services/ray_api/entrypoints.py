"""Parses entrypoints of Ray jobs: a plain Python script with arguments, or else a command for a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

_INTERPRETERS: Final = frozenset({"python", "python3"})
_UNBUFFERED: Final = "-u"
"""Interpreter option without effect here: output is never buffered."""

# Characters without meaning to a shell, and quotes in which nothing is expanded.
_WORD: Final = r"""(?:[\w@%+=:,./-]|'[^']*'|"[^"$`\\!]*")+"""
_PLAIN: Final = re.compile(rf"[ \t]*{_WORD}(?:[ \t]+{_WORD})*[ \t]*")


@dataclass(frozen=True, slots=True)
class PythonScript:
    """``python path args…``."""

    path: str
    args: tuple[str, ...]


def python_script(entrypoint: str) -> PythonScript | None:
    """Return the script of a plain entrypoint; None where a shell is needed."""
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

"""Recognizes code for another version of Python from its compile error."""

from __future__ import annotations

import re
import sys
from typing import Final

_HERE: Final = f"jobs run on Python {sys.version_info.major}.{sys.version_info.minor}"
_BY_MESSAGE: Final = (
    (re.compile(r"Missing parentheses in call to '(print|exec)'"), "this is Python 2"),
    (re.compile("multiple exception types must be parenthesized"), "this is Python 2, or Python 3.14"),
    (re.compile("f-string: "), "nested quotes and backslashes in f-strings need Python 3.12"),
)
_BY_LINE: Final = (
    (re.compile(r"\s*type\s+\w+(\[[^\]]*\])?\s*="), "`type` statements need Python 3.12"),
    (re.compile(r"\s*(async\s+def|def|class)\s+\w+\s*\["), "type parameters need Python 3.12"),
    (re.compile(r"(^|.*\W)t[\"']"), "template strings need Python 3.14"),
    (re.compile(r"\s*lazy\s+(import|from)\s"), "lazy imports need Python 3.15"),
    (re.compile(r"\s*(raise\s+\w+\s*,|print\s+[\w\"']|exec\s+[\"'])"), "this is Python 2"),
)


def other_version(message: str, line: str) -> str | None:
    """Return a clause on the Python version that a line was written for; None where it is not recognized.

    Args:
        message: Of the compile error.
        line: The line that it names.
    """
    for pattern, text in _BY_MESSAGE:
        if pattern.match(message):
            return f"{text}; {_HERE}"
    for pattern, text in _BY_LINE:
        if pattern.match(line):
            return f"{text}; {_HERE}"
    return None

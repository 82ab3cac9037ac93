"""A library's error as a sentence for clients: without traces, addresses of source code, and paths of the server."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 500
_TRACES: Final = re.compile(
    r"(?:\bStack trace:|Traceback \(most recent call last\)|\bException raised from\b|C\+\+ Traceback|\bframe #0:).*", re.DOTALL
)
_GRAPH: Final = re.compile(r"Graph execution error:\s*Detected at node.*\n[ \t]*\n", re.DOTALL)
"""TensorFlow's trace of the code that made a node; what is wrong follows after an empty line."""
_SOURCES: Final = re.compile(r"(?:\[\d\d:\d\d:\d\d\]\s*)?[\w./\\+-]*\.(?:cc|cpp|cxx|cu|cuh|hpp|h|pyx|py):\d+:?\s*")
_PATHS: Final = re.compile(r"(?<![\w:/.])(?:/[\w.+@ -]*[\w.+@-])+/([\w.+@-]+)")


def said(error: BaseException) -> str:
    """The kind of an error and its words."""
    return f"{type(error).__name__}: {words_of(error)}".removesuffix(": ")


def words_of(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) else str(error)
    text = _GRAPH.sub("", text)
    text = _TRACES.sub("", text)
    text = _SOURCES.sub("", text)
    text = _PATHS.sub(r"\1", text)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

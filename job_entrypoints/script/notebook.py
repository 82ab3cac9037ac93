"""Compiles a notebook's script cell by cell, so that tracebacks name cells.

The platform wrote the script (raylift.services.uploads.notebooks). It is plain Python; its first line lists the lines of each
cell.
"""

from __future__ import annotations

import sys

from job_entrypoints.contract import NOTEBOOK_MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, TracebackType


def compile_notebook(source: bytes, own_file: str) -> CodeType:
    """Compile a script into code that runs its cells in turn. Tracebacks show its own frame as one of ``own_file``."""
    import codeop
    import linecache

    first, _, _ = source.partition(b"\n")
    # A cell's `from __future__ import …` holds for the cells below, as in Jupyter.
    compiler = codeop.Compile()
    cells: list[CodeType] = []
    lines = source.decode("utf-8").split("\n")
    for name, begin, end in _cells(first):
        text = "\n".join(lines[begin - 1 : end]) + "\n"
        cells.append(compiler(text, name, "exec"))
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    sys.excepthook = _print_with_source
    return _in_a_row(cells, own_file)


def _cells(first: bytes) -> Iterator[tuple[str, int, int]]:
    import json

    layout = json.loads(first[len(NOTEBOOK_MARK) :])
    for number, begin, end in layout["cells"]:
        yield f"{layout['name']} cell {number}" if number else layout["name"], begin, end


def _in_a_row(cells: list[CodeType], own_file: str) -> CodeType:
    """Make code that executes ``cells``. They are its constants, so that a walk over its code objects finds them."""
    marks = [f"raylift cell {position}" for position in range(len(cells))]
    driver = compile("\n".join(f"exec({mark!r})" for mark in marks), own_file, "exec", dont_inherit=True)
    codes = dict(zip(marks, cells, strict=True))
    constants = tuple(codes.get(value, value) if isinstance(value, str) else value for value in driver.co_consts)
    return driver.replace(co_consts=constants)


def _print_with_source(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback with the lines of cells. Python's own excepthook would look for them in files."""
    import traceback

    traceback.print_exception(kind, error, trace)

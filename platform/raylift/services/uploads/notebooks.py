"""Converts a notebook to a script: its code cells in order, as plain Python. The first line maps cells to lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from job_entrypoints.contract import NOTEBOOK_MARK
from raylift.domain.errors import FieldError
from raylift.services.uploads.magics import translate_cell

SUFFIX: Final = ".ipynb"

_DISPLAY: Final = "def display(*objects, **_): print(*objects, sep='\\n')"
"""Replaces Jupyter's built-in function."""


@dataclass(slots=True)
class Notebook:
    """A converted notebook."""

    script: bytes = b""
    packages: list[str] = field(default_factory=list[str])
    """Requirements of its ``%pip install`` lines."""
    errors: list[FieldError] = field(default_factory=list[FieldError])


@dataclass(frozen=True, slots=True)
class _Cell:
    number: int
    """Number among the code cells, from 1, as Jupyter shows it after "run all"."""
    source: str


class _NoNotebook(ValueError):
    """The content is not a notebook; the message has the reason."""


def read_notebook(content: bytes, name: str, *, field_name: str) -> Notebook:
    """Convert a notebook, nbformat 3 or 4. Nothing is executed; errors are in the result."""
    try:
        cells = list(_cells(content))
    except _NoNotebook as error:
        return Notebook(errors=[FieldError(field_name, f"{name} is not a notebook that can be run: {error}")])
    made = Notebook()
    lines, layout = [_DISPLAY], [[0, 2, 2]]
    for cell in cells:
        translated = translate_cell(cell.source)
        problems = translated.problems or list(_compile_problems("\n".join(translated.lines), name))
        made.errors += [FieldError(field_name, f"cell {cell.number}, line {line}: {said}") for line, said in problems]
        made.packages += translated.packages
        lines.append(f"# %% {name} cell {cell.number}")
        begin = len(lines) + 2
        lines += translated.lines
        layout.append([cell.number, begin, len(lines) + 1])
    header = NOTEBOOK_MARK + json.dumps({"name": name, "cells": layout})
    made.script = "\n".join([header, *lines, ""]).encode("utf-8", "surrogatepass")
    return made


def _cells(content: bytes) -> Iterator[_Cell]:
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _NoNotebook("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _NoNotebook(f"it is not JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _NoNotebook("it is nested too deeply") from None
    if not isinstance(document, dict):
        raise _NoNotebook("it is not a JSON object")
    fields = cast("dict[str, Any]", document)
    _check_language(fields)
    number = 0
    for cell in map(_object, _list(fields)):
        if cell.get("cell_type") != "code":
            continue
        number += 1
        source = _text(cell.get("source", cell.get("input", "")), number)
        if source.strip():
            yield _Cell(number, source.replace("\r\n", "\n").replace("\r", "\n"))
    if not number:
        raise _NoNotebook("it has no code cells")


def _list(document: dict[str, Any]) -> list[Any]:
    """Return the cells of nbformat 4, or of the worksheets of nbformat 3."""
    cells: Any = document.get("cells")
    worksheets: Any = document.get("worksheets")
    if cells is None and isinstance(worksheets, list):
        sheets = map(_object, cast("list[Any]", worksheets))
        cells = [cell for sheet in sheets for cell in cast("list[Any]", sheet.get("cells") or [])]
    if not isinstance(cells, list):
        raise _NoNotebook("it has no list of cells")
    return cast("list[Any]", cells)


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check_language(document: dict[str, Any]) -> None:
    about = _object(document.get("metadata"))
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        language = _object(about.get(part)).get(key)
        if isinstance(language, str) and not language.lower().startswith(("python", "ipython")):
            raise _NoNotebook(f"its language is {language}, not Python")


def _text(source: Any, number: int) -> str:
    lines = cast("list[Any]", source) if isinstance(source, list) else []
    if isinstance(source, list) and all(isinstance(line, str) for line in lines):
        return "".join(lines)
    if isinstance(source, str):
        return source
    raise _NoNotebook(f"the source of code cell {number} is no text")


def _compile_problems(source: str, name: str) -> Iterator[tuple[int, str]]:
    from raylift.services.uploads.scripts import compile_problem

    error = compile_problem(source.encode("utf-8", "surrogatepass"), name)
    if error is not None:
        yield error.line or 1, error.detail

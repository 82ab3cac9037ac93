"""Plain English, as far as a test can hold it: first words of docstrings, their length, banned phrases, names of tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ("platform", "serve_apps", "job_entrypoints", "tests", ".ci", "examples")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "migrations/versions" not in path.as_posix()
)

_NOT_FIRST: Final = re.compile(r"(What|Whatever|Whether|Who|Whoever|Whose|Whom|Where|Wherever|Why|Which|How|When|Whenever)\b")
"""A docstring begins with a verb or a noun."""
_NOT_SAID: Final = re.compile(
    r"\b(nobody|no one|whoever|whatever|whichever|(?:is|are|was|be) told|tells? of|told of|looked at|(?:is|are) looked|"
    r"most deserving|stands? (?:in )?for|sees? to it|of whom|made of that|knows? nothing|hands? on|beside(?:s)? that)\b",
    re.IGNORECASE,
)
_LONGEST: Final = 14
"""Lines of a docstring before its sections (Args, Returns, Raises)."""
_LONGEST_TEST_NAME: Final = 70


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring: of modules, classes, functions, and of the attributes that one follows."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for number, statement in enumerate(body):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                continue
            text = statement.value.value
            first = number == 0 and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            follows = number > 0 and isinstance(body[number - 1], ast.Assign | ast.AnnAssign)
            if isinstance(text, str) and (first or follows):
                yield statement.lineno, text.strip()


def faults(source: str) -> list[str]:
    """Faults of a file, as ``line: reason``."""
    tree = ast.parse(source)
    found: list[str] = []
    for line, text in docstrings(tree):
        if match := _NOT_FIRST.match(text):
            found.append(f"{line}: begins with {match[1]}")
        if match := _NOT_SAID.search(text):
            found.append(f"{line}: says {match[0]!r}")
        before_sections = re.split(r"\n\s*(?:Args|Returns|Raises|Yields|Attributes|Example|Examples):\n", text)[0]
        if len(before_sections.splitlines()) > _LONGEST:
            found.append(f"{line}: {len(before_sections.splitlines())} lines")
    for number, line in enumerate(source.splitlines(), 1):
        comment = re.search(r"(?:^|\s)#\s(.*)", line)
        if comment and (match := _NOT_SAID.search(comment[1])):
            found.append(f"{number}: says {match[0]!r}")
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found.extend(
        f"{function.lineno}: a test name of {len(function.name)} characters"
        for function in functions
        if function.name.startswith("test_") and len(function.name) >= _LONGEST_TEST_NAME
    )
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_file_is_in_plain_english(path: str) -> None:
    assert faults((REPOSITORY / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""Whether it is so."""', "1: begins with Whether"),
        ('x = 1\n"""Of whom it is told."""', "2: says 'Of whom'"),
        ("# Nobody knows.", "1: says 'Nobody'"),
        ('def f():\n    """' + "Line.\n    " * 15 + '"""', "2: 15 lines"),
        ("def test_" + "a" * 70 + "(): ...", "1: a test name of 75 characters"),
    ],
)
def test_faults_are_found(source: str, fault: str) -> None:
    assert fault in faults(source)

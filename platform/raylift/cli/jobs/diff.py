"""Prints ``raylift jobs diff``: a minus for values of the first job, a plus for those of the second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from raylift.api.jobs.diff import JobDiff, ListDifference, NameDifference, ValueDifference
from raylift.cli.printing import echo, say

_SIGNS: Final = {"removed": "-", "added": "+", "changed": "~"}


def print_diff(diff: JobDiff) -> None:
    """Print a section for each kind of difference."""
    sections = {
        "data": _values(diff.data),
        "requirements": _lists(diff.requirements),
        "environment lock": _lists(diff.environment_lock),
        "arguments": _values([diff.args] if diff.args else []),
        "parameters": _values(diff.params),
        "environment": _names(diff.environment),
        "resources": _values(diff.resources),
        "settings": _values(diff.settings),
        "project": _names(diff.project),
        "metrics": _values(diff.metrics),
    }
    if diff.same:
        say("Both ask for the same.")
    for title, lines in sections.items():
        for number, line in enumerate(lines):
            if number == 0:
                echo(f"{title}:")
            echo(f"  {line}")
    if diff.script:
        echo("script:")
        echo(diff.script, nl=False)


def _lists(difference: ListDifference) -> Iterator[str]:
    yield from (f"- {item}" for item in difference.removed)
    yield from (f"+ {item}" for item in difference.added)


def _names(differences: Sequence[NameDifference]) -> Iterator[str]:
    return (f"{_SIGNS[item.change]} {item.name}" for item in differences)


def _values(differences: Sequence[ValueDifference]) -> Iterator[str]:
    return (f"{item.name}: {_shown(item.first)} -> {_shown(item.second)}" for item in differences)


def _shown(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)

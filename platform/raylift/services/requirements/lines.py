"""Checks requirements: PEP 508 lines, as in a requirements.txt without options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from raylift.domain.errors import FieldError
from raylift.domain.requirement_files import line_problem, requirement_lines

MAX_REQUIREMENTS: Final = 1000

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_requirements(lines: Sequence[str]) -> tuple[tuple[str, ...], list[FieldError]]:
    """Return the valid requirements, and an error for each other line."""
    if len(lines) > MAX_REQUIREMENTS:
        return (), [FieldError("requirements", f"has {len(lines)} lines; at most {MAX_REQUIREMENTS} are taken")]
    found: list[str] = []
    errors: list[FieldError] = []
    for line in requirement_lines(lines):
        problem = requirement_problem(line.text)
        if problem:
            errors.append(FieldError(f"requirements[{line.number - 1}]", problem))
        else:
            found.append(line.text)
    return tuple(found), errors


def requirement_problem(text: str) -> str | None:
    """Return the error in a requirement of a job; None where it is valid."""
    if _CONTROL.search(text):
        return "holds a control character or a line break: one requirement a line"
    problem = line_problem(text)
    if problem is not None:
        return problem
    try:
        Requirement(text)
    except InvalidRequirement as error:
        return f"{text!r} is not a requirement: {str(error).splitlines()[0]}"
    return None

"""Checks requirements: PEP 508 lines, as in a requirements.txt without options."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from raylift.domain.errors import FieldError
from raylift.domain.sources.requirement_files import http_host, line_problem, requirement_lines

MAX_REQUIREMENTS: Final = 1000

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_requirements(lines: Sequence[str], http_hosts: Collection[str] = ()) -> tuple[tuple[str, ...], list[FieldError]]:
    """Return the valid requirements, and an error for each other line. Addresses of ``http_hosts`` may be http."""
    if len(lines) > MAX_REQUIREMENTS:
        return (), [FieldError("requirements", f"has {len(lines)} lines; at most {MAX_REQUIREMENTS} are taken")]
    found: list[str] = []
    errors: list[FieldError] = []
    for line in requirement_lines(lines):
        problem = requirement_problem(line.text, http_hosts)
        if problem:
            errors.append(FieldError(f"requirements[{line.number - 1}]", problem))
        else:
            found.append(line.text)
    return tuple(found), errors


def requirement_problem(text: str, http_hosts: Collection[str] = ()) -> str | None:
    """Return the error in a requirement of a job; None where it is valid."""
    if _CONTROL.search(text):
        return "holds a control character or a line break: one requirement a line"
    problem = line_problem(text)
    if problem is not None:
        return problem
    host = http_host(text)
    if host is not None and host not in http_hosts:
        return f"{text[:200]!r} has an http:// address, which others can change on its way: write https://"
    try:
        Requirement(text)
    except InvalidRequirement as error:
        return f"{text!r} is not a requirement: {str(error).splitlines()[0]}"
    return None

"""The requirements of an upload: PEP 508 lines, as in a requirements.txt without options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from raylift.domain.errors import FieldError

MAX_REQUIREMENTS: Final = 1000

_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def without_comments(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(index in ``lines``, requirement) of each line that holds one; blank lines and comments are left out."""
    for index, line in enumerate(lines):
        text = without_comment(line)
        if text:
            yield index, text


def without_comment(line: str) -> str:
    """The line without its comment and the blanks around it."""
    return _COMMENT.sub("", line.strip()).strip()


def check_requirements(lines: Sequence[str]) -> tuple[tuple[str, ...], list[FieldError]]:
    """The requirements in ``lines``, and what is wrong with each line that is none."""
    if len(lines) > MAX_REQUIREMENTS:
        return (), [FieldError("requirements", f"has {len(lines)} lines; at most {MAX_REQUIREMENTS} are taken")]
    found: list[str] = []
    errors: list[FieldError] = []
    for index, text in without_comments(lines):
        problem = requirement_problem(text)
        if problem:
            errors.append(FieldError(f"requirements[{index}]", problem))
        else:
            found.append(text)
    return tuple(found), errors


def requirement_problem(text: str) -> str | None:
    """What keeps ``text`` from being a requirement that a job may have; None when nothing does."""
    if text.startswith("-"):
        return f"{text!r} is an option of pip, not a requirement; write requirements such as 'pandas>=2'"
    if _CONTROL.search(text):
        return "holds a control character or a line break: one requirement a line"
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        return f"{text!r} is not a requirement: {str(error).splitlines()[0]}"
    if requirement.url and requirement.url.lower().startswith("file:"):
        return f"{text!r} names a file of the server; name a version, or an https:// or git+https:// address"
    return None

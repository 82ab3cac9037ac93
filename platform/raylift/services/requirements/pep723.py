"""Inline script metadata (PEP 723): the block of TOML in a script's comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_OPENING: Final = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_CLOSING: Final = "# ///"


@dataclass(frozen=True, slots=True)
class MetadataBlock:
    """One block. ``first_line`` is the first line of its content, from 1."""

    kind: str
    content: str
    first_line: int


def metadata_blocks(script: str) -> Iterator[MetadataBlock]:
    """Yield the metadata blocks of a script, of every kind.

    The regular expression of the PEP takes hours for a megabyte of blocks that are never closed.
    """
    lines = script.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        if opening is None:
            at += 1
            continue
        end = _end_of_comments(lines, at + 1)
        # The last closing line of these comments counts. Without one, later blocks in them are not closed either.
        closing = next((line for line in range(end - 1, at, -1) if lines[line] == _CLOSING), None)
        if closing is not None:
            yield MetadataBlock(opening[1], "\n".join(line[2:] for line in lines[at + 1 : closing]), at + 2)
        at = end if closing is None else closing + 1


def _end_of_comments(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and (lines[at] == "#" or lines[at].startswith("# ")):
        at += 1
    return at

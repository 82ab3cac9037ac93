"""Reads what ``Client.train`` is given: the script, and requirements files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Final

from raylift.domain.requirement_files import UnreadableText, decode_requirements, line_problem, requirement_lines

_DECLARATION: Final = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*(?!utf-?8\b)[-\w.]", re.IGNORECASE)
"""Declaration of an encoding other than UTF-8, in one of the first two lines."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the upload carries it."""

    content: str
    encoding: str
    name: str

    @property
    def script_stem(self) -> str:
        return self.name.removesuffix(".py").removesuffix(".ipynb")


def read_script(path: str | PathLike[str] | None, content: str | None, name: str | None) -> Script:
    """The script of a file, or of ``content``.

    Raises:
        ValueError: Both were given, or none.
        OSError: The file cannot be read.
    """
    if (path is None) == (content is None):
        raise ValueError("give the script's path, or its source as script_content")
    if content is not None:
        return Script(content, "plain", name or "train.py")
    file = Path(path or "")
    raw = file.read_bytes()
    if file.suffix == ".ipynb":
        raw = _without_outputs(raw)
    text = None if _DECLARATION.match(raw) else _decoded(raw)
    if text is not None:
        return Script(text, "plain", name or file.name)
    # Its bytes say what they are (PEP 263); the platform says what is wrong with them, if anything is.
    return Script(base64.b64encode(raw).decode(), "base64", name or file.name)


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Project:
    """A project as the upload carries it."""

    archive: bytes
    entrypoint: str

    @property
    def script_stem(self) -> str:
        return PurePosixPath(self.entrypoint).name.removesuffix(".py").removesuffix(".ipynb")


def read_upload(
    path: str | PathLike[str] | None, content: str | None, name: str | None, entrypoint: str | None
) -> Script | Project:
    """What is to run: a script, or a project when an ``entrypoint`` is named.

    Raises:
        ValueError: The arguments contradict each other, or the directory holds what no project may hold.
        OSError: A file cannot be read.
    """
    if entrypoint is None:
        if path is not None and Path(path).is_dir():
            raise ValueError(f"{path} is a directory: name the script in it as the entrypoint")
        return read_script(path, content, name)
    if path is None or content is not None or name is not None:
        raise ValueError(
            "an entrypoint is of a project: give the path of its directory, and neither script_content nor script_name"
        )
    # What it needs of the standard library is slow to load, and few uploads are projects.
    from raylift.client.jobs.project import read_project

    return Project(read_project(path), entrypoint)


def _without_outputs(raw: bytes) -> bytes:
    """Return a notebook without what its cells showed, which may be megabytes; as it is where it is none."""
    try:
        document = json.loads(raw)
        sheets = [document, *document.get("worksheets", [])]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        for cell in cells:
            cell.pop("outputs", None)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return raw  # The platform says what is wrong with it.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_requirements(requirements: Iterable[str] | str | PathLike[str]) -> list[str]:
    """Requirement lines, or those of a requirements.txt and the files that it includes with ``-r``.

    Raises:
        ValueError: A string that is no file's path, or a line with an option that an upload cannot carry.
        OSError: The file cannot be read.
    """
    if not isinstance(requirements, str | PathLike):
        return [str(line) for line in requirements]
    path = Path(requirements)
    if isinstance(requirements, str) and not path.is_file():
        raise ValueError(
            f"there is no requirements file {requirements!r}; for a package, pass a list: requirements=[{requirements!r}]"
        )
    return list(_lines_of(path, ()))


def _lines_of(path: Path, seen: tuple[Path, ...]) -> Iterable[str]:
    if path.resolve() in seen:
        raise ValueError(f"{path} includes itself")
    try:
        text = decode_requirements(path.read_bytes())
    except UnreadableText as error:
        raise ValueError(f"{path}:{error.line}: {error}") from error
    for line in requirement_lines(text.splitlines()):
        problem = line_problem(line.text)
        if line.included is not None:
            yield from _lines_of(path.parent / line.included, (*seen, path.resolve()))
        elif problem is not None:
            raise ValueError(f"{path}:{line.number}: {problem}")
        else:
            # With its hashes: the platform says that it checks none.
            yield line.with_hashes

"""Reads the arguments of ``Client.train``: script or project, and requirements files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Final

from raylift.domain.sources.requirement_files import UnreadableText, decode_requirements, line_problem, requirement_lines

_DECLARATION: Final = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*(?!utf-?8\b)[-\w.]", re.IGNORECASE)
"""Declaration of an encoding other than UTF-8, in one of the first two lines."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, encoded for the upload."""

    content: str
    encoding: str
    name: str

    @property
    def script_stem(self) -> str:
        return self.name.removesuffix(".py").removesuffix(".ipynb")


def read_script(path: str | PathLike[str] | None, content: str | None, name: str | None) -> Script:
    """Read a script from a file or from ``content``.

    Raises:
        ValueError: Both were given, or neither.
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
    # Other encodings go as bytes: they declare themselves (PEP 263), and the platform reports errors in them.
    return Script(base64.b64encode(raw).decode(), "base64", name or file.name)


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Project:
    """A project, packed for the upload."""

    archive: bytes
    entrypoint: str

    @property
    def script_stem(self) -> str:
        return PurePosixPath(self.entrypoint).name.removesuffix(".py").removesuffix(".ipynb")


def read_upload(
    path: str | PathLike[str] | None, content: str | None, name: str | None, entrypoint: str | None
) -> Script | Project:
    """Read a script, or with an ``entrypoint`` a project.

    Raises:
        ValueError: The arguments contradict each other, or the project has a file that an upload cannot carry.
        OSError: A file cannot be read.
    """
    if entrypoint is None:
        if path is not None and Path(path).is_dir():
            raise ValueError(f"{path} is a directory: name the script in it as the entrypoint")
        return read_script(path, content, name)
    if path is None or content is not None or name is not None:
        raise ValueError(
            "an entrypoint is of a project: give the path of its directory, without script_content and script_name"
        )
    # Slow imports of the standard library, which only projects need.
    from raylift.client.jobs.project import read_project

    return Project(read_project(path), entrypoint)


def _without_outputs(raw: bytes) -> bytes:
    """Remove the outputs of a notebook's cells, which may have megabytes. Other content is returned unchanged."""
    try:
        document = json.loads(raw)
        sheets = [document, *document.get("worksheets", [])]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        for cell in cells:
            cell.pop("outputs", None)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return raw  # The platform reports the error.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_requirements(requirements: Iterable[str] | str | PathLike[str]) -> list[str]:
    """Requirements from a list, or from a requirements.txt and the files that it includes with ``-r``.

    Raises:
        ValueError: A string is not the path of a file, or a line has an option that an upload cannot carry.
        OSError: A file cannot be read.
    """
    if not isinstance(requirements, str | PathLike):
        return [str(line) for line in requirements]
    path = Path(requirements)
    if isinstance(requirements, str) and not path.is_file():
        raise ValueError(
            f"there is no requirements file {requirements!r}; for a package, pass a list: requirements=[{requirements!r}]"
        )
    return list(_lines(path, ()))


def _lines(path: Path, including: tuple[Path, ...]) -> Iterable[str]:
    if path.resolve() in including:
        raise ValueError(f"{path} includes itself")
    try:
        text = decode_requirements(path.read_bytes())
    except UnreadableText as error:
        raise ValueError(f"{path}:{error.line}: {error}") from error
    for line in requirement_lines(text.splitlines()):
        problem = line_problem(line.text)
        if line.included is not None:
            yield from _lines(path.parent / line.included, (*including, path.resolve()))
        elif problem is not None:
            raise ValueError(f"{path}:{line.number}: {problem}")
        else:
            # Hashes are sent along: the platform then warns that it does not check them.
            yield line.with_hashes

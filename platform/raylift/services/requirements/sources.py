"""Finds the requirements of a job: in the request, in the script (PEP 723), or in files of its project.

The first of these that has any counts alone: they are never mixed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from raylift.domain.errors import FieldError
from raylift.domain.project import ProjectFile
from raylift.domain.sources.requirement_files import HASHES_DROPPED, UnreadableText, decode_requirements, requirement_lines
from raylift.services.requirements.lines import MAX_REQUIREMENTS, check_requirements, requirement_problem
from raylift.services.requirements.pep723 import metadata_blocks

FROM_REQUEST: Final = "request"
FROM_SCRIPT: Final = "script metadata"
FROM_NOTEBOOK: Final = "notebook"
_REQUIREMENTS: Final = "requirements.txt"
_PYPROJECT: Final = "pyproject.toml"
_FIELD: Final = "requirements"
_MAX_LEVELS: Final = 50
_MAX_FILE_BYTES: Final = 1024 * 1024

_TOML_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(slots=True)
class Sourced:
    """Requirements with their source and errors."""

    requirements: tuple[str, ...] = ()
    source: str | None = None
    """``request``, ``script metadata``, ``notebook`` or the path of a project's file; None without requirements."""
    errors: Sequence[FieldError] = ()
    notes: Sequence[str] = ()
    """Sentences for the user."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A file that may hold requirements."""

    name: str
    text: str
    first_line: int = 1

    def error(self, detail: str, *, near: str = "", line: int | None = None) -> FieldError:
        """Build an error that names the file and the line: ``line``, else the first with the text ``near``."""
        if line is None:
            line = self.first_line + self.text.count("\n", 0, max(self.text.find(near), 0))
        return FieldError(_FIELD, f"in {self.name}, line {line}: {detail}")


def find_requirements(
    given: Sequence[str],
    script: bytes,
    script_path: str,
    files: Mapping[str, ProjectFile] | None,
    http_hosts: Collection[str] = (),
) -> Sourced:
    """Find the requirements of a job.

    Args:
        given: requirements of the request. They replace all others.
        script: the script, or the project's entrypoint.
        script_path: its name, or its path in the project.
        files: files of the project by path; None for a single script.
        http_hosts: hosts whose addresses may be http.
    """
    inline, errors = _inline(script, script_path, http_hosts)
    if given:
        requirements, wrong = check_requirements(given, http_hosts)
        notes = (HASHES_DROPPED,) if any(line.hashes for line in requirement_lines(given)) else ()
        return Sourced(requirements, FROM_REQUEST if requirements else None, [*errors, *wrong], notes)
    if inline is not None or errors:
        found = inline or Sourced(source=FROM_SCRIPT)
        return Sourced(found.requirements, found.source, [*errors, *found.errors])
    return _of_project(script_path, files, http_hosts) if files else Sourced()


def with_packages(sourced: Sourced, packages: Sequence[str], http_hosts: Collection[str] = ()) -> Sourced:
    """Add the packages of a notebook's ``%pip install`` lines to the requirements."""
    if not packages:
        return sourced
    found, wrong = check_requirements(packages, http_hosts)
    added = tuple(item for item in dict.fromkeys(found) if item not in sourced.requirements)
    errors = [FieldError(_FIELD, f"%pip install: {error.detail}") for error in wrong]
    source = sourced.source or FROM_NOTEBOOK
    return Sourced((*sourced.requirements, *added), source, [*sourced.errors, *errors], sourced.notes)


def _inline(script: bytes, path: str, http_hosts: Collection[str]) -> tuple[Sourced | None, list[FieldError]]:
    """Read the script's own metadata; None where it has no dependencies field."""
    blocks = [block for block in metadata_blocks(script.decode("utf-8-sig", "replace")) if block.kind == "script"]
    if not blocks:
        return None, []
    place = _Place(path, blocks[0].content, blocks[0].first_line)
    if len(blocks) > 1:
        return None, [place.error("opens a second block of script metadata; there may be one", line=blocks[1].first_line - 1)]
    table = _toml(place)
    if isinstance(table, FieldError):
        return None, [table]
    errors = list(_python_errors(table.get("requires-python"), place))
    if "dependencies" not in table:
        return None, errors
    return _toml_list(table["dependencies"], place, FROM_SCRIPT, http_hosts), errors


def _of_project(script_path: str, files: Mapping[str, ProjectFile], http_hosts: Collection[str]) -> Sourced:
    beside = PurePosixPath(script_path).parent
    folders = list(dict.fromkeys([beside, PurePosixPath()]))
    for path in (str(folder / _REQUIREMENTS) for folder in folders):
        if path in files:
            return _requirements_file(path, files, http_hosts)
    for path in (str(folder / _PYPROJECT) for folder in folders):
        if path in files:
            found = _pyproject(path, files, http_hosts)
            if found is not None:
                return found
    return Sourced()


def _pyproject(path: str, files: Mapping[str, ProjectFile], http_hosts: Collection[str]) -> Sourced | None:
    place = _place(path, files)
    table = place if isinstance(place, FieldError) else _toml(place)
    if isinstance(place, FieldError) or isinstance(table, FieldError):
        return Sourced(source=path, errors=[error for error in (place, table) if isinstance(error, FieldError)][:1])
    project = table.get("project")
    if not isinstance(project, dict) or "dependencies" not in project:
        return None  # It only has settings of tools.
    fields: dict[str, Any] = project  # pyright: ignore[reportUnknownVariableType] # TOML
    found = _toml_list(fields["dependencies"], place, path, http_hosts)
    found.errors = [*_python_errors(fields.get("requires-python"), place), *found.errors]
    return found


def _toml_list(value: object, place: _Place, source: str, http_hosts: Collection[str]) -> Sourced:
    """Check a list of requirements in TOML."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        return Sourced(source=source, errors=[place.error("dependencies must be a list of strings", near="dependencies")])
    items = cast("list[str]", value)
    if len(items) > MAX_REQUIREMENTS:
        return Sourced(source=source, errors=[_too_many(place)])
    problems = [(item, requirement_problem(item, http_hosts)) for item in items]
    errors = [place.error(problem, near=item.splitlines()[0] if item else "") for item, problem in problems if problem]
    return Sourced(tuple(item.strip() for item in items), source, errors)


def _requirements_file(path: str, files: Mapping[str, ProjectFile], http_hosts: Collection[str]) -> Sourced:
    # Reading ends at the limit; invalid lines count, too.
    reader = _Includes(files, http_hosts)
    items = list(islice(reader.lines(path, ()), MAX_REQUIREMENTS + 1))
    if len(items) > MAX_REQUIREMENTS:
        return Sourced(source=path, errors=[_too_many(_Place(path, ""))])
    found = tuple(item for item in items if isinstance(item, str))
    notes = (HASHES_DROPPED,) if reader.hashed else ()
    return Sourced(found, path, [item for item in items if isinstance(item, FieldError)], notes)


def read_uploaded(name: str, raw: bytes, http_hosts: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """Return the requirements of an uploaded requirements.txt, with their hashes, and its errors."""
    place = _place(name, {name: ProjectFile(name, raw)})
    if isinstance(place, FieldError):
        return [], [place.detail]
    valid: list[str] = []
    problems: list[str] = []
    for line in requirement_lines(place.text.splitlines()):
        problem = requirement_problem(line.text, http_hosts)
        if problem:
            problems.append(place.error(problem, line=line.number).detail)
        else:
            valid.append(line.with_hashes)
    return valid, problems


@dataclass(frozen=True, slots=True)
class _Includes:
    """Reads a requirements.txt and the files that it includes, each file once."""

    files: Mapping[str, ProjectFile]
    http_hosts: Collection[str]
    _seen: set[str] = field(default_factory=set[str])
    hashed: list[str] = field(default_factory=list[str])
    """Requirements that had hashes."""

    def lines(self, path: str, above: tuple[str, ...]) -> Iterator[str | FieldError]:
        """Yield requirements and errors. ``above`` are the files whose includes lead to this one."""
        self._seen.add(path)
        place = _place(path, self.files)
        if isinstance(place, FieldError):
            yield place
            return
        for line in requirement_lines(place.text.splitlines()):
            if line.included is not None:
                yield from self._included(line.included, place, line.number, (*above, path))
                continue
            problem = requirement_problem(line.text, self.http_hosts)
            if line.hashes:
                self.hashed.append(line.text)
            yield place.error(problem, line=line.number) if problem else line.text

    def _included(self, name: str, place: _Place, number: int, above: tuple[str, ...]) -> Iterator[str | FieldError]:
        target = _beside(place.name, name)
        if target is None or target not in self.files:
            yield place.error(f"there is no {name!r} in the project", line=number)
        elif target in above:
            yield place.error(f"{name!r} includes itself", line=number)
        elif target in self._seen:
            return
        elif len(above) >= _MAX_LEVELS:
            yield place.error(f"{name!r} is included more than {_MAX_LEVELS} levels deep; use fewer files", line=number)
        else:
            yield from self.lines(target, above)


def _beside(path: str, name: str) -> str | None:
    """Resolve ``name`` relative to the file ``path``; None where it leads out of the project."""
    parts = list(PurePosixPath(path).parent.parts)
    for part in PurePosixPath(name).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return str(PurePosixPath(*parts))


def _place(path: str, files: Mapping[str, ProjectFile]) -> _Place | FieldError:
    size = len(files[path].content)
    if size > _MAX_FILE_BYTES:
        return _Place(path, "").error(f"has {size} bytes; a file that names requirements may have {_MAX_FILE_BYTES}")
    content = files[path].content
    try:
        is_toml = PurePosixPath(path).name == _PYPROJECT
        return _Place(path, content.decode("utf-8-sig") if is_toml else decode_requirements(content))
    except UnreadableText as error:
        return _Place(path, "").error(str(error), line=error.line)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _Place(path, "").error("is not UTF-8", line=line)


def _toml(place: _Place) -> dict[str, Any] | FieldError:
    try:
        return tomllib.loads(place.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _TOML_LINE.search(str(error))
        line = place.first_line - 1 + int(at[1]) if at else place.first_line + max(len(place.text.splitlines()) - 1, 0)
        return place.error(f"is not TOML: {_TOML_LINE.sub('', str(error)).strip()}", line=line)


def _python_errors(wanted: object, place: _Place) -> Iterator[FieldError]:
    """Yield errors of ``requires-python``, also where the platform's Python does not meet it."""
    if wanted is None:
        return
    own = ".".join(map(str, sys.version_info[:3]))
    try:
        fits = SpecifierSet(wanted).contains(own) if isinstance(wanted, str) else None
    except InvalidSpecifier:
        fits = None
    if fits is None:
        yield place.error(f"requires-python is {wanted!r}, which is no version specifier", near="requires-python")
    elif not fits:
        yield place.error(f"requires Python {wanted}; the platform has {own}", near="requires-python")


def _too_many(place: _Place) -> FieldError:
    return place.error(f"has more than {MAX_REQUIREMENTS} requirements, those of the files it includes counted too")

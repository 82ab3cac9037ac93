"""Packs a project's directory into the archive of an upload: deterministic, and without ignored files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from raylift.domain.project import PackedProject, ProjectFile, UnsafePath, checked_path, pack

if TYPE_CHECKING:
    import re

    from pathspec.pattern import RegexPattern

IGNORED: Final = (".git", ".venv", "venv", "__pycache__", "*.pyc")
"""Ignored unless an ignore file includes them by name (``!venv``)."""
IGNORE_FILES: Final = (".gitignore", ".rayliftignore")
"""Read in every directory. The second overrides the first."""

_BELOW: Final = "ps_d"
"""Group of pathspec's patterns: the slash after the entry that the line names."""
_LARGEST_BYTES: Final = 1 << 30
"""Limit for reading a project into memory. The platform's own limit is far lower."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A line of an ignore file. ``base`` is the file's directory in the project, with a slash at the end."""

    base: str
    line: str
    pattern: re.Pattern[str]
    ignores: bool

    def names(self, path: str) -> bool:
        """True if the line names ``path`` itself. Git decides entry by entry: a name of a directory does not name its files."""
        return any(map(_ends_here, self.pattern.finditer(path.removeprefix(self.base))))


def _ends_here(match: re.Match[str]) -> bool:
    """True if the line names the whole path. pathspec also matches everything below the entry that the line names."""
    if _BELOW in match.groupdict():
        return match[_BELOW] is None or match.end(_BELOW) == len(match.string)
    # "data/**" names the content of data, not data.
    return not (match.string.endswith("/") and match.end() == len(match.string))


def _is_ignored(path: str, rules: tuple[_Rule, ...]) -> bool:
    """The last rule that names the entry decides.

    pathspec's ``check_file`` for each folder differs from git: there ``!*/`` also includes the files of a directory.
    """
    name = PurePosixPath(path).name
    default = next((ignored for ignored in IGNORED if fnmatchcase(name, ignored)), None)
    for rule in reversed(rules):
        if not rule.names(path):
            continue
        if rule.ignores:
            return True
        # "!*/" is common in lists of patterns. It does not ask for the repository's history or a virtual environment.
        if default is None or default.strip("*") in rule.line:
            return False
    return default is not None


def read_project(path: str | os.PathLike[str]) -> bytes:
    """The archive to upload: a packed directory, or the given archive.

    Raises:
        ValueError: The directory has a file that a project cannot have.
        OSError: A file cannot be read.
    """
    root = Path(path)
    return pack_directory(root).content if root.is_dir() else root.read_bytes()


def pack_directory(root: Path) -> PackedProject:
    """Pack the directory's files and empty directories. The same files give the same bytes.

    Raises:
        ValueError: The directory has a file that a project cannot have, or more than 1 GiB.
        OSError: A file cannot be read.
    """
    files: list[ProjectFile] = []
    size = 0
    for name, file in _walk(root):
        if name.endswith("/"):
            files.append(ProjectFile(f"{_checked(name, file)}/", b""))
            continue
        status = file.stat()
        size += status.st_size
        if size > _LARGEST_BYTES:
            raise ValueError(f"{root} has more than 1 GiB; leave data out, with a .rayliftignore")
        files.append(ProjectFile(_checked(name, file), file.read_bytes(), executable=bool(status.st_mode & 0o100)))
    return pack(files)


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """(path in the project, file) of everything that is not ignored. The path of an empty directory ends in a slash."""
    pending: list[tuple[str, tuple[_Rule, ...]]] = [("", ())]
    while pending:
        prefix, inherited = pending.pop()
        folder = root / prefix
        rules = (*inherited, *_read_rules(prefix, folder))
        entries = sorted(folder.iterdir())
        if prefix and not entries:
            yield prefix, folder
        for entry in entries:
            name = f"{prefix}{entry.name}"
            is_folder = entry.is_dir() and not entry.is_symlink()
            if _is_ignored(f"{name}/" if is_folder else name, rules):
                continue
            if is_folder:
                pending.append((f"{name}/", rules))
            else:
                _check_kind(entry, root)
                yield name, entry


def _read_rules(prefix: str, folder: Path) -> Iterator[_Rule]:
    # Imported here: only projects need it.
    from pathspec import GitIgnoreSpec

    for name in IGNORE_FILES:
        file = folder / name
        if not file.is_file():
            continue
        for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            for pattern in cast("list[RegexPattern]", GitIgnoreSpec.from_lines([line]).patterns):
                if pattern.include is not None:  # Comments and blank lines.
                    yield _Rule(prefix, line, cast("re.Pattern[str]", pattern.regex), pattern.include)


def _check_kind(entry: Path, root: Path) -> None:
    """Refuse entries that an archive cannot carry. A link may lead to a file of the project."""
    if entry.is_symlink() and not entry.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{entry} is a link that leads out of the project; leave it out, with a .rayliftignore")
    if not entry.is_file():
        what = "a link to a directory" if entry.is_dir() else "neither a file nor a directory"
        raise ValueError(f"{entry} is {what}; leave it out, with a .rayliftignore")


def _checked(name: str, file: Path) -> str:
    try:
        return checked_path(name)
    except UnsafePath as error:
        raise ValueError(f"{file} {error}") from error

"""A project's directory as the archive that an upload carries: deterministic, and without what the ignore files leave out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from raylift.domain.project import PackedProject, ProjectFile, UnsafePath, checked_path, pack

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORED: Final = (".git", ".venv", "venv", "__pycache__", "*.pyc")
"""Left out unless an ignore file says otherwise (``!venv``)."""
IGNORE_FILES: Final = (".gitignore", ".rayliftignore")
"""Read in every directory; what the second says wins over the first."""

_LARGEST_BYTES: Final = 1 << 30
"""Never read more than this into memory: the platform's own limit is far below."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """The ignore files that hold in a directory."""

    layers: tuple[tuple[str, GitIgnoreSpec], ...]
    """(directory that they are of, relative to the project and ending in a slash, patterns); the last that matches wins."""

    def ignore(self, path: str) -> bool:
        for base, patterns in reversed(self.layers):
            found = patterns.check_file(path.removeprefix(base)).include
            if found is not None:
                return found
        return False


def read_project(path: str | os.PathLike[str]) -> bytes:
    """The archive to upload: of a directory, or the file itself if it is an archive already.

    Raises:
        ValueError: The directory holds what no project may hold.
        OSError: Something in it cannot be read.
    """
    root = Path(path)
    return pack_directory(root).content if root.is_dir() else root.read_bytes()


def pack_directory(root: Path) -> PackedProject:
    """The directory's files, in the platform's own form: the same files are the same bytes.

    Raises:
        ValueError: It holds what no project may hold.
        OSError: Something in it cannot be read.
    """
    files: list[ProjectFile] = []
    size = 0
    for name, file in _walk(root):
        status = file.stat()
        size += status.st_size
        if size > _LARGEST_BYTES:
            raise ValueError(f"{root} has more than 1 GiB; leave data out, with a .rayliftignore")
        files.append(ProjectFile(_checked(name, file), file.read_bytes(), executable=bool(status.st_mode & 0o100)))
    return pack(files)


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """(path in the project, file) of all that is not left out."""
    # Only who uploads a project pays for it.
    from pathspec import GitIgnoreSpec

    pending = [("", _Rules((("", GitIgnoreSpec.from_lines(IGNORED)),)))]
    while pending:
        prefix, inherited = pending.pop()
        folder = root / prefix
        rules = _Rules((*inherited.layers, *_layers(prefix, folder)))
        for entry in sorted(folder.iterdir()):
            name = f"{prefix}{entry.name}"
            is_folder = entry.is_dir() and not entry.is_symlink()
            if rules.ignore(f"{name}/" if is_folder else name):
                continue
            if is_folder:
                pending.append((f"{name}/", rules))
            else:
                _check_kind(entry, root)
                yield name, entry


def _layers(prefix: str, folder: Path) -> Iterator[tuple[str, GitIgnoreSpec]]:
    from pathspec import GitIgnoreSpec

    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            yield prefix, GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8-sig", errors="replace").splitlines())


def _check_kind(entry: Path, root: Path) -> None:
    """A link to a file of the project is the file; any other link, and what is no file, has no place in an archive."""
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

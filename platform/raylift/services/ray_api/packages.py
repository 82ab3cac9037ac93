"""Packages that Ray's clients upload before a submission: a folder as a .zip, named by its content."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from raylift.domain.errors import FieldError, InvalidRequest, NotFound, TooLarge
from raylift.domain.project import ProjectFile, pack
from raylift.domain.quantities import format_bytes
from raylift.services.ports import Clock, utc_now
from raylift.services.uploads.archives import UNPACKING, read_project
from raylift.settings import PlatformSettings
from raylift.store import Store

WORKING_DIR: Final = "working_dir"
PY_MODULES: Final = "py_modules"

_PROTOCOL: Final = "gcs"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_ARCHIVE: Final = (".zip", ".tar.gz", ".tgz")
_MODULES_FOLDER: Final = ".py_modules"


@dataclass(frozen=True, slots=True)
class RayProject:
    """Files of a runtime_env as the archive of one project."""

    archive: bytes
    python_path: tuple[str, ...]
    """Folders that Ray would put on PYTHONPATH: the working_dir, and the parent of each py_module."""


class RayPackages:
    """Stores packages for some hours after their last use."""

    def __init__(self, store: Store, settings: PlatformSettings, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def exists(self, protocol: str, name: str) -> bool:
        """Return True where the package is stored. It is then kept for a submission that follows."""
        _check_name(protocol, name)
        return self._store.ray_packages.extend(name, expires_at=self._expires_at())

    def put(self, protocol: str, name: str, content: bytes) -> None:
        """Check a package as a project's archive, and store it as one.

        Raises:
            TooLarge: it is over a limit for projects.
            InvalidRequest: its name or its content is not that of a folder's package.
        """
        _check_name(protocol, name)
        with UNPACKING:
            packed = pack(read_project(content, self._settings.jobs).values())
        self._store.ray_packages.keep(name, packed.content, expires_at=self._expires_at())

    def project(self, runtime_env: Mapping[str, Any]) -> RayProject | None:
        """Join ``working_dir`` and ``py_modules`` into one project; None where neither is given.

        Raises:
            InvalidRequest: one of them is not an uploaded package.
            NotFound: a package is not stored, or has expired.
            TooLarge: together they are over the limit for projects.
        """
        working_dir = runtime_env.get(WORKING_DIR)
        modules = _module_uris(runtime_env.get(PY_MODULES))
        if not working_dir and not modules:
            return None
        if not modules:
            return RayProject(self._content(WORKING_DIR, working_dir), (".",))
        with UNPACKING:
            return self._joined(working_dir, modules)

    def _joined(self, working_dir: object, modules: Sequence[object]) -> RayProject:
        files = self._files(WORKING_DIR, working_dir) if working_dir else {}
        folders: list[str] = []
        for index, uri in enumerate(modules):
            folders.append(f"{_MODULES_FOLDER}/{index}")
            for path, file in self._files(f"{PY_MODULES}[{index}]", uri).items():
                moved = f"{folders[-1]}/{path}"
                files[moved] = ProjectFile(moved, file.content, file.executable)
            self._check_size(files)
        return RayProject(pack(files.values()).content, (".", *folders))

    def _check_size(self, files: Mapping[str, ProjectFile]) -> None:
        # Each package is within the limit, but a list may name many.
        most = self._settings.jobs.max_project_unpacked_bytes
        if sum(len(file.content) for file in files.values()) > most:
            raise TooLarge(f"working_dir and py_modules together have more than {format_bytes(most)}.", limit_bytes=most)

    def _files(self, field: str, uri: object) -> dict[str, ProjectFile]:
        return read_project(self._content(field, uri), self._settings.jobs)

    def _content(self, field: str, uri: object) -> bytes:
        protocol, separator, name = str(uri).partition("://")
        if not separator or protocol != _PROTOCOL:
            raise _refusal(
                f"runtime_env.{field}",
                f"is {uri!r}; give a folder on your machine, which the client uploads: nothing is fetched from elsewhere",
            )
        _check_name(protocol, name)
        content = self._store.ray_packages.read(name)
        if content is None:
            raise NotFound(f"Package {uri} does not exist: submit again, and the client uploads it.", package=name)
        return content

    def _expires_at(self) -> Any:
        return self._clock() + timedelta(hours=self._settings.gateway.ray_package_hours)


def _module_uris(value: object) -> Sequence[object]:
    if not value:
        return ()
    if not isinstance(value, list):
        raise _refusal(f"runtime_env.{PY_MODULES}", "has to be a list of folders")
    return cast("list[object]", value)


def _check_name(protocol: str, name: str) -> None:
    uri = f"{protocol}://{name}"
    if protocol != _PROTOCOL or not _NAME.fullmatch(name):
        raise _refusal("package", f"{uri} is no package of a Ray client: gcs://_ray_pkg_….zip")
    if not name.endswith(_ARCHIVE):
        raise _refusal("package", f"{uri} is not taken: give folders, and wheels as requirements (pip)")


def _refusal(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {detail}", [FieldError(field, detail)])

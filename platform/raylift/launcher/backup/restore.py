"""Restores a backup into an empty state directory. An incomplete or forged file changes nothing."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from raylift.launcher.backup.contents import KEYS, MANIFEST, MLFLOW_DATABASE, SETTINGS, STORE, STORE_DUMP, Manifest
from raylift.launcher.backup.databases import restore_postgresql, sqlite_file
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import load_config
from raylift.launcher.run.private_files import make_private
from raylift.launcher.run.record import exclusive, read_record
from raylift.launcher.startup import database_url


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored platform, not yet started."""

    manifest: Manifest
    settings: Path | None
    """Settings of the former platform, if it had any of its own."""


def restore_backup(file: Path, state_dir: Path, *, config_file: Path | None = None) -> Restored:
    """Unpack a backup. `raylift up` then starts the platform with it.

    Raises:
        LauncherError: the file is no complete backup, the directory has a platform already, or PostgreSQL refuses the dump.
    """
    state_dir = state_dir.expanduser().resolve()
    make_private(state_dir)
    with exclusive(state_dir):
        if read_record(state_dir) is not None:
            raise LauncherError(f"A platform runs on {state_dir}.", hint="Stop it and move the directory away.")
        if taken := [name for name in (STORE, "mlflow") if (state_dir / name).exists()]:
            raise LauncherError(
                f"{state_dir} has a platform already ({', '.join(taken)}).", hint="Move it away, or name an empty --state-dir."
            )
        with tempfile.TemporaryDirectory(dir=state_dir, prefix=".restore-") as scratch:
            manifest = _unpack(file, Path(scratch))
            if manifest.store == "postgresql":
                _restore_store(Path(scratch), state_dir, config_file)
            for path in sorted(Path(scratch).iterdir()):
                _move(path, state_dir / path.name)
    settings = state_dir / SETTINGS
    return Restored(manifest, settings if settings.exists() else None)


def _unpack(file: Path, scratch: Path) -> Manifest:
    try:
        with tarfile.open(file, "r:gz") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
            if content is None:
                raise LauncherError(f"{file} is no backup of Raylift.")
            manifest = Manifest.model_validate_json(content.read())
            for entry in archive:
                _extract(archive, entry, scratch)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValidationError) as error:
        raise LauncherError(f"{file} is no complete backup of Raylift: {error}") from error
    wanted = [STORE if manifest.store == "sqlite" else STORE_DUMP, MLFLOW_DATABASE, *([KEYS] if manifest.has_keys else [])]
    if missing := [name for name in wanted if not (scratch / name).is_file()]:
        raise LauncherError(f"{file} is no complete backup of Raylift: it lacks {', '.join(missing)}.")
    (scratch / MANIFEST).unlink()
    return manifest


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, scratch: Path) -> None:
    """Write one file. Raises LauncherError for links, devices, and paths that lead elsewhere."""
    path = PurePosixPath(entry.name)
    content = archive.extractfile(entry) if entry.isreg() else None
    if content is None or path.is_absolute() or ".." in path.parts:
        raise LauncherError(f"The backup has the entry {entry.name!r}, which no backup has. It may be forged.")
    target = scratch / path
    for folder in reversed(path.parents):
        (scratch / folder).mkdir(mode=0o700, exist_ok=True)
    with content, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        shutil.copyfileobj(content, file)


def _restore_store(scratch: Path, state_dir: Path, config_file: Path | None) -> None:
    url = database_url(load_config(config_file), state_dir)
    if sqlite_file(url) is not None:
        raise LauncherError(
            "The backup's store is of PostgreSQL.",
            hint="Name an empty database: RAYLIFT_DATABASE_URL, or `database` in --config.",
        )
    dump = scratch / STORE_DUMP
    restore_postgresql(url, dump)
    dump.unlink()


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        source.rename(target)
    elif source.is_dir():
        for path in sorted(source.iterdir()):
            _move(path, target / path.name)
    else:
        shutil.move(source, target)

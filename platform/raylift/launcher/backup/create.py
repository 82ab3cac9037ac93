"""Writes a backup while the platform runs or stands still.

The order makes it consistent: the store, then MLflow's database, then artifacts. What the store names was in MLflow before, and
what MLflow names was among the artifacts before.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

import raylift
from raylift.launcher.backup.contents import (
    ARTIFACTS,
    ATTEMPT_FILES,
    ATTEMPTS,
    FOLDERS,
    KEYS,
    MANIFEST,
    MLFLOW_DATABASE,
    SETTINGS,
    STORE,
    STORE_DUMP,
    Manifest,
)
from raylift.launcher.backup.databases import copy_sqlite, dump_postgresql, sqlite_file
from raylift.launcher.errors import LauncherError
from raylift.launcher.parts.mlflow_server import MlflowFiles
from raylift.launcher.run.config import load_config
from raylift.launcher.run.record import read_record
from raylift.launcher.startup import database_url

_COMPRESSION = 1
"""Models hardly get smaller, so the fastest one."""


def write_backup(state_dir: Path, file: Path, *, config_file: Path | None = None, with_keys: bool = False) -> Manifest:
    """Write everything that the platform of ``state_dir`` keeps to ``file``, which only its owner may read.

    Args:
        state_dir: the platform's directory.
        file: a new .tar.gz. It appears when it is complete.
        config_file: the platform's settings. None: those of the running platform, if it has any.
        with_keys: also write the keys that decrypt secrets.

    Raises:
        LauncherError: there is nothing to back up, the file exists, or a database cannot be copied.
    """
    state_dir = state_dir.expanduser().resolve()
    record = read_record(state_dir) if state_dir.is_dir() else None
    config_file = config_file or (record.config_file if record else None)
    url = database_url(load_config(config_file), state_dir)
    store = sqlite_file(url)
    if not MlflowFiles(state_dir).database.exists() or (store is not None and not store.exists()):
        raise LauncherError(f"{state_dir} has no platform to back up.", hint="Name its directory: --state-dir DIRECTORY.")
    if file.exists():
        raise LauncherError(f"{file} exists already.", hint="A backup overwrites nothing: name another file.")
    manifest = Manifest(
        raylift=raylift.__version__,
        mlflow=importlib.metadata.version("mlflow"),
        made_at=datetime.now(UTC),
        store="postgresql" if store is None else "sqlite",
        has_keys=with_keys and (state_dir / KEYS).exists(),
    )
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        with (
            os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output,
            tarfile.open(fileobj=output, mode="w:gz", compresslevel=_COMPRESSION) as archive,
            tempfile.TemporaryDirectory(dir=state_dir, prefix=".backup-") as scratch,
        ):
            _add_bytes(archive, MANIFEST, manifest.model_dump_json(indent=2).encode())
            _add_store(archive, url, Path(scratch))
            copy_sqlite(MlflowFiles(state_dir).database, copy := Path(scratch, "mlflow.db"))
            _add(archive, copy, MLFLOW_DATABASE)
            _add_folders(archive, state_dir)
            if config_file is not None:
                _add_bytes(archive, SETTINGS, _settings(config_file))
            if manifest.has_keys:
                _add(archive, state_dir / KEYS, KEYS)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return manifest


def _add_store(archive: tarfile.TarFile, url: str, scratch: Path) -> None:
    store = sqlite_file(url)
    if store is None:
        dump_postgresql(url, scratch / STORE_DUMP)
        _add(archive, scratch / STORE_DUMP, STORE_DUMP)
    else:
        copy_sqlite(store, scratch / STORE)
        _add(archive, scratch / STORE, STORE)


def _add_folders(archive: tarfile.TarFile, state_dir: Path) -> None:
    for folder in (ARTIFACTS, *FOLDERS):
        for path in _files_below(state_dir / folder):
            _add(archive, path, path.relative_to(state_dir).as_posix())
    attempts = state_dir / ATTEMPTS
    if not attempts.is_dir():
        return
    for attempt in sorted(attempts.iterdir()):
        for name in ATTEMPT_FILES if attempt.is_dir() and not attempt.is_symlink() else ():
            _add(archive, attempt / name, f"{ATTEMPTS}/{attempt.name}/{name}")


def _files_below(folder: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(folder):
        yield from (Path(directory, name) for name in sorted(names))


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a regular file as large as it is now. A file that has gone meanwhile, or a link that a script made, is left out."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or path.is_symlink():
            return
        raise LauncherError(f"{path} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as content:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            archive.addfile(archive.gettarinfo(arcname=name, fileobj=content), content)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _settings(config_file: Path) -> bytes:
    """Return the user's settings without the database's address, which may have a password."""
    settings: Any = yaml.safe_load(config_file.read_text(encoding="utf-8")) or {}
    return yaml.safe_dump({name: value for name, value in settings.items() if name != "database"}, sort_keys=False).encode()

"""Replaces the key that encrypts secrets, while the platform runs or stands still."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from raylift.domain.errors import PlatformError
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import load_config
from raylift.launcher.run.record import exclusive, read_record
from raylift.launcher.run.secret_keys import KEYS_VARIABLE, given_keys
from raylift.launcher.startup import database_url
from raylift.store import KeyRing, Store
from raylift.store.engine.key_ring import KEY_FILE, new_key, read_keys, write_keys


@dataclass(frozen=True, slots=True)
class Rotation:
    """A completed rotation."""

    changed: int
    """Rows whose values were encrypted again."""
    source: str
    """File or variable that has the keys."""


def rotate_keys(state_dir: Path, *, config_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Rotation:
    """Encrypt all stored values with a new key and remove the former ones. Jobs and requests may go on.

    With ``RAYLIFT_SECRETS_KEYS`` the first key of the variable is the new one. A running platform gets all of them.

    Raises:
        LauncherError: a key is missing or malformed, or the store cannot be used. Nothing is lost: the file has all keys.
    """
    environ = os.environ if environ is None else environ
    state_dir = state_dir.expanduser().resolve()
    with exclusive(state_dir):
        record = read_record(state_dir)
        config = load_config(config_file or (record.config_file if record else None))
        given = given_keys(environ)
        file = (record.session_dir if given and record else state_dir) / (f".{KEY_FILE}" if given and not record else KEY_FILE)
        try:
            former = read_keys(file)
        except ValueError as error:
            raise LauncherError(str(error)) from error
        try:
            write_keys(file, list(dict.fromkeys(given + former if given else [new_key(), *former])))
            changed = _reseal(database_url(config, state_dir, environ), file)
            write_keys(file, read_keys(file)[:1])
        finally:
            if given and record is None:
                file.unlink(missing_ok=True)
        return Rotation(changed, KEYS_VARIABLE if given else str(file))


def _reseal(url: str, file: Path) -> int:
    try:
        with closing(Store.open(url, KeyRing(file))) as store:
            return store.secrets.reseal()
    except (PlatformError, ValueError, OSError) as error:
        raise LauncherError(f"The values cannot be encrypted again: {error}") from error

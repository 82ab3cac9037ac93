"""Keys that encrypt secrets and environment variables in the store: a file of the state directory, or a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.record import RunRecord
from raylift.store.engine.key_ring import KEY_FILE, check_keys, make_key_file, write_keys

KEYS_VARIABLE: Final = "RAYLIFT_SECRETS_KEYS"
"""Keys, the newest first, separated by spaces or commas. Processes get them in a file of the session."""


def given_keys(environ: Mapping[str, str]) -> list[str]:
    """Return the keys of the variable; none where it is not set. Raises LauncherError for a malformed one."""
    keys = [key for key in re.split(r"[\s,]+", environ.get(KEYS_VARIABLE, "")) if key]
    try:
        check_keys(keys, KEYS_VARIABLE)
    except ValueError as error:
        raise LauncherError(str(error), hint="Make a key with: openssl rand -base64 32 | tr +/ -_") from error
    return keys


def key_file(record: RunRecord, environ: Mapping[str, str]) -> Path:
    """Return the file from which processes of the platform read the keys."""
    return (record.session_dir if environ.get(KEYS_VARIABLE) else record.state_dir) / KEY_FILE


def prepare_encryption_keys(record: RunRecord, environ: Mapping[str, str]) -> None:
    """Write the file of keys: those of the variable, else a new one unless the state directory has it."""
    keys = given_keys(environ)
    if keys:
        write_keys(key_file(record, environ), keys)
    else:
        make_key_file(record.state_dir / KEY_FILE)

"""Keys that encrypt values in the store, and the file that has them.

A stored value is ``<id of the key>.<Fernet token>``. The first key of the file encrypts, all of them decrypt. Processes notice
a changed file, so a rotation needs no restart.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from raylift.domain.errors import SecretUnreadable

KEY_FILE: Final = "secrets-key"
"""Name of the file in the state directory."""

_NO_KEY: Final = "The platform has no key to encrypt values. Start it with `raylift up`, which makes one."
_UNREADABLE: Final = (
    "A stored value cannot be decrypted: its key is missing. Restore the platform's file of keys, or store the value again."
)


def new_key() -> str:
    """Return a random key."""
    return Fernet.generate_key().decode("ascii")


def key_id(key: str) -> str:
    """Return the public name of a key, which its values begin with."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()[:12]


def key_of(sealed: str) -> str:
    """Return the id of the key that encrypted a value."""
    return sealed.partition(".")[0]


@dataclass(frozen=True, slots=True)
class _Keys:
    stamp: tuple[int, ...] | None
    """Identity of the file as it was read."""
    first: str | None
    ciphers: dict[str, Fernet]


_NO_KEYS: Final = _Keys(None, None, {})


class KeyRing:
    """Encrypts and decrypts values of the store. Thread-safe.

    Args:
        file: one key a line, the newest first. None: values can be neither encrypted nor decrypted.
        made_on_demand: make the file when the first value is encrypted.
    """

    def __init__(self, file: Path | None, *, made_on_demand: bool = False) -> None:
        self._file = file
        self._made_on_demand = made_on_demand
        self._keys = _NO_KEYS
        self._lock = Lock()

    def seal(self, value: str) -> str:
        """Encrypt a value. Raises SecretUnreadable where there is no key."""
        keys = self._current()
        if keys.first is None and self._made_on_demand and self._file is not None:
            make_key_file(self._file)
            keys = self._current()
        if keys.first is None:
            raise SecretUnreadable(_NO_KEY)
        return f"{keys.first}.{keys.ciphers[keys.first].encrypt(value.encode('utf-8', 'surrogatepass')).decode('ascii')}"

    def open(self, sealed: str) -> str:
        """Decrypt a value. Raises SecretUnreadable."""
        name, _, token = sealed.partition(".")
        cipher = self._keys.ciphers.get(name) or self._current().ciphers.get(name)
        try:
            if cipher is not None:
                return cipher.decrypt(token.encode("ascii")).decode("utf-8", "surrogatepass")
        except (InvalidToken, UnicodeError) as error:
            raise SecretUnreadable("A stored value cannot be decrypted: it was changed.") from error
        raise SecretUnreadable(_UNREADABLE, key=name)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all keys, the one that encrypts first."""
        return tuple(self._current().ciphers)

    def _current(self) -> _Keys:
        if self._file is None:
            return _NO_KEYS
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return _NO_KEYS
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._keys.stamp:
            with self._lock:
                self._keys = _read(self._file, stamp)
        return self._keys


def read_keys(file: Path) -> list[str]:
    """Return the keys of a file, the newest first; none where it does not exist. Raises ValueError for a malformed one."""
    try:
        keys = file.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no file of keys.") from error
    check_keys(keys, str(file))
    return keys


def check_keys(keys: Sequence[str], source: str) -> None:
    """Raise ValueError for a malformed key."""
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError as error:
            raise ValueError(
                f"Key {number} of {source} is malformed: it has to be 32 random bytes in URL-safe base64."
            ) from error


def make_key_file(file: Path) -> bool:
    """Write a file with one new key, for its owner only, unless it exists. Returns True where it was made."""
    if file.exists():
        file.chmod(0o600)
        return False
    draft = _draft(file, [new_key()])
    try:
        # Two processes may make it at the same moment: only the first link counts.
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def write_keys(file: Path, keys: Sequence[str]) -> None:
    """Replace the file in one step."""
    _draft(file, keys).replace(file)


def _draft(file: Path, keys: Sequence[str]) -> Path:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write("".join(f"{key}\n" for key in keys))
        opened.flush()
        # Without its key, what the store has is lost.
        os.fsync(opened.fileno())
    return draft


def _read(file: Path, stamp: tuple[int, ...]) -> _Keys:
    keys = read_keys(file)
    ciphers = {key_id(key): Fernet(key) for key in keys}
    return _Keys(stamp, key_id(keys[0]) if keys else None, ciphers)

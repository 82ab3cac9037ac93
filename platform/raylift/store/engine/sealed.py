"""Columns whose secret values are encrypted. Names of variables stay readable, so lists need no key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine

from raylift.store.engine.columns import JsonOf
from raylift.store.engine.key_ring import KeyRing

ENVIRONMENT: Final = "environment"
"""Field of a document that has the variables."""
_RINGS: Final[WeakKeyDictionary[Dialect, KeyRing]] = WeakKeyDictionary()


def use_keys(engine: Engine, keys: KeyRing) -> None:
    """Encrypt and decrypt the values of this engine's connections with ``keys``."""
    _RINGS[engine.dialect] = keys


class SealedVariables(Mapping[str, str]):
    """Environment variables as stored. A value is decrypted when it is read, which raises SecretUnreadable without its key."""

    def __init__(self, sealed: Mapping[str, str], keys: KeyRing) -> None:
        self._sealed = sealed
        self._keys = keys

    def __getitem__(self, name: str) -> str:
        return self._keys.open(self._sealed[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._sealed)

    def __len__(self) -> int:
        return len(self._sealed)

    def __contains__(self, name: object) -> bool:
        # Mapping's own would decrypt.
        return name in self._sealed

    def __eq__(self, other: object) -> bool:
        # Rows are compared often, and most have not changed: that needs no key.
        if isinstance(other, SealedVariables) and self._sealed == other._sealed:
            return True
        return isinstance(other, Mapping) and self.keys() == other.keys() and dict(self) == dict(cast("Any", other))

    def __repr__(self) -> str:
        return f"<{len(self._sealed)} variables>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Keys never leave the process.
        return (dict, (dict(self),))


class SealedVariablesColumn(JsonOf):
    """JSON object of variables with encrypted values."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(dict[str, str])

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else seal_variables(value, _RINGS[dialect])

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else SealedVariables(value, _RINGS[dialect])


class SealedJsonOf(JsonOf):
    """JSON document of a dataclass whose ``environment`` has encrypted values."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or not value.environment:
            return super().process_bind_param(value, dialect)
        document = super().process_bind_param(replace(value, environment={}), dialect)
        return {**document, ENVIRONMENT: seal_variables(value.environment, _RINGS[dialect])}

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or not value.get(ENVIRONMENT):
            return super().process_result_value(value, dialect)
        record = super().process_result_value({**value, ENVIRONMENT: {}}, dialect)
        return replace(record, environment=SealedVariables(value[ENVIRONMENT], _RINGS[dialect]))


def seal_variables(variables: Mapping[str, str], keys: KeyRing) -> dict[str, str]:
    """Encrypt each value."""
    return {name: keys.seal(value) for name, value in variables.items()}

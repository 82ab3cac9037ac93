"""Finds the caller of a request by its key, and what the caller sees. Neither asks the store for each request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from raylift.domain.access import AccessKey, Principal, digest_of, key_id_of, sees_model
from raylift.domain.errors import EngineUnavailable, Unauthenticated
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.services.ports import Clock, utc_now
from raylift.services.ttl_cache import TtlCache
from raylift.store import Store, acting

log = logging.getLogger(__name__)

T = TypeVar("T")

KEYS_SECONDS: Final = 2.0
"""Age of the keys that a gateway knows: a revoked key works for so long at most."""
_AFTER_MISS_SECONDS: Final = 0.5
"""Age at which keys are read again for an unknown token, which may be new."""
_MODELS_SECONDS: Final = 2.0
_USES_PAUSE: Final = timedelta(seconds=60)
_HOW: Final = "Send `Authorization: Bearer KEY`. `raylift keys create` makes a key, `raylift login` signs in."


@dataclass(frozen=True, slots=True)
class _Keys:
    by_digest: Mapping[str, AccessKey]
    by_id: Mapping[str, AccessKey]


class Callers:
    """Callers by token."""

    def __init__(self, store: Store, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._used: set[str] = set()
        self._uses_written_at = clock()
        self._keys: TtlCache[None, _Keys] = TtlCache(lambda _: self._read(), seconds=KEYS_SECONDS)

    async def principal_of(self, token: str | None) -> Principal:
        """Return the caller that has the token.

        Raises:
            Unauthenticated: there is no token, or it is unknown, revoked or expired.
            EngineUnavailable: no keys are known yet, and the store does not answer.
        """
        if token is None:
            raise Unauthenticated(f"The request has no key. {_HOW}")
        digest = digest_of(token)
        key = (await self._keys.get(None)).by_digest.get(digest)
        if key is None and key_id_of(token) is not None:
            key = (await self._keys.get(None, max_age=_AFTER_MISS_SECONDS)).by_digest.get(digest)
        if key is None:
            raise Unauthenticated(f"The key is unknown or revoked. {_HOW}")
        if key.is_expired(self._clock()):
            raise Unauthenticated(f"The key {key.key_id} has expired. {_HOW}")
        self._used.add(digest)
        return key.principal()

    async def check(self, principal: Principal) -> None:
        """Check the key of an earlier request again, which is still being answered.

        Raises:
            Unauthenticated: the key was revoked or has expired meanwhile.
        """
        if principal.key_id is None:
            return
        key = (await self._keys.get(None)).by_id.get(principal.key_id)
        if key is None:
            raise Unauthenticated(f"The key {principal.key_id} was revoked. {_HOW}")
        if key.is_expired(self._clock()):
            raise Unauthenticated(f"The key {principal.key_id} has expired. {_HOW}")

    def forget(self) -> None:
        """Read the keys again for the next request: one was just changed."""
        self._keys.forget(None)

    def _read(self) -> _Keys:
        self._write_uses(self._clock())
        keys = self._store.keys.unrevoked(self._clock())
        return _Keys({key.sha256: key for key in keys}, {key.key_id: key for key in keys})

    def _write_uses(self, now: datetime) -> None:
        if now - self._uses_written_at < _USES_PAUSE:
            return
        self._uses_written_at = now
        used, self._used = self._used, set()
        try:
            # Not a change of the request that happens to come now.
            with acting(None):
                self._store.keys.used(used, now=now)
        except EngineUnavailable as error:
            log.warning("times of last use are not written: %s", error)


class ModelWorkspaces:
    """Workspaces of models, at most two seconds old."""

    def __init__(self, store: Store) -> None:
        self._cache: TtlCache[None, Mapping[str, str]] = TtlCache(
            lambda _: store.workspaces.of_models(), seconds=_MODELS_SECONDS
        )
        self._store = store

    async def shows(self, principal: Principal, model_name: str) -> bool:
        """Return True where the model exists for the caller, or would."""
        if principal.visible_workspace is None and principal.models is None:
            return True
        workspace = (await self._cache.get(None)).get(model_name, DEFAULT_WORKSPACE)
        return sees_model(principal, model_name, workspace)

    def shown(self, principal: Principal, items: Iterable[T], name_of: Callable[[T], str]) -> list[T]:
        """Return the items whose models exist for the caller. Reads the store."""
        if principal.visible_workspace is None and principal.models is None:
            return list(items)
        workspaces = self._store.workspaces.of_models()
        return [
            item for item in items if sees_model(principal, name_of(item), workspaces.get(name_of(item), DEFAULT_WORKSPACE))
        ]

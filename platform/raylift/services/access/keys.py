"""Creates, lists, revokes and rotates keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.access import WORKSPACE, AccessKey, Principal, Role, digest_of, new_token
from raylift.domain.errors import Conflict, FieldError, InvalidRequest
from raylift.domain.identifiers import DEFAULT_WORKSPACE, MODEL_NAME, OWNER_FORM
from raylift.services.ports import Clock, utc_now
from raylift.store import Store

MAX_DAYS: Final = 3660
_MAX_MODELS: Final = 100
_FIRST_ADMIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """Fields of a new key."""

    name: str
    role: Role
    workspace: str
    models: tuple[str, ...] = ()
    expires_days: float | None = None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key with its token, which nothing else has."""

    key: AccessKey
    token: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.key.key_id})"


class KeyService:
    def __init__(self, store: Store, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def create(self, by: Principal, request: KeyRequest) -> CreatedKey:
        """Store a new key. Raises InvalidRequest."""
        errors = list(_problems(request))
        if errors:
            raise InvalidRequest.of(*errors)
        now = self._clock()
        days = request.expires_days
        expires_at = None if days is None else now + timedelta(days=days)
        created = _made(request.name, request.role, request.workspace, request.models, now, by.name, expires_at)
        self._store.keys.add(created.key)
        return created

    def list(self) -> list[AccessKey]:
        return self._store.keys.list()

    def revoke(self, key_id: str) -> AccessKey:
        """Revoke a key. Idempotent. Raises KeyNotFound."""
        return self._store.keys.revoke(key_id, now=self._clock())

    def rotate(self, by: Principal, key_id: str, *, grace_hours: float) -> CreatedKey:
        """Replace a key by one of the same rights. The former one works for ``grace_hours`` more.

        Raises:
            KeyNotFound: there is no valid key of this id.
            Conflict: a sign-in has made it.
        """
        former, now = self._store.keys.get(key_id), self._clock()
        if former.subject is not None:
            raise Conflict(
                f"The key {key_id} is of a sign-in, which is not extended: {former.name} signs in again.", key_id=key_id
            )
        # The successor lives as long as the former key was meant to.
        expires_at = None if former.expires_at is None else now + (former.expires_at - former.created_at)
        created = _made(former.name, former.role, former.workspace, former.models, now, by.name, expires_at)
        self._store.keys.replace(key_id, created.key, now=now, expires_at=now + timedelta(hours=grace_hours))
        return created


def first_admin_key(store: Store, token: str | None, now: datetime) -> CreatedKey | None:
    """Store an admin key for the platform's user, unless ``token`` is a valid one. Returns None then."""
    if token is not None and _is_valid_admin(store, digest_of(token), now):
        return None
    created = _made(_FIRST_ADMIN, Role.ADMIN, DEFAULT_WORKSPACE, (), now, "raylift up", None)
    store.keys.add(created.key)
    return created


def _is_valid_admin(store: Store, digest: str, now: datetime) -> bool:
    return any(key.sha256 == digest and key.role is Role.ADMIN and key.is_valid(now) for key in store.keys.unrevoked(now))


def _made(
    name: str, role: Role, workspace: str, models: tuple[str, ...], now: datetime, by: str, expires_at: datetime | None
) -> CreatedKey:
    token = new_token()
    return CreatedKey(AccessKey(token.key_id, token.sha256, name, role, workspace, models, now, by, expires_at), token.text)


def _problems(request: KeyRequest) -> Iterator[FieldError]:
    if not WORKSPACE.fullmatch(request.name):
        yield FieldError("name", f"must be {OWNER_FORM}")
    if not WORKSPACE.fullmatch(request.workspace):
        yield FieldError("workspace", f"must be {OWNER_FORM}")
    if len(request.models) > _MAX_MODELS:
        yield FieldError("models", f"has {len(request.models)} names; at most {_MAX_MODELS} are taken")
    for name in request.models:
        if not MODEL_NAME.fullmatch(name):
            yield FieldError("models", f"has {name!r}, which is no name of a model that can be served")
    if request.expires_days is not None and not 0 < request.expires_days <= MAX_DAYS:
        yield FieldError("expires_days", f"must be more than 0 and at most {MAX_DAYS}")

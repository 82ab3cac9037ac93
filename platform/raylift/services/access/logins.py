"""Sign-ins: a person whom the identity provider proves gets a key for some hours."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from raylift.access_settings import OidcSettings
from raylift.domain.access import AccessKey, Principal, new_token
from raylift.domain.errors import NotFound
from raylift.domain.security.login import DeviceLogin, GroupRights, Person, rights_of
from raylift.services.access.keys import CreatedKey
from raylift.services.ports import Clock, utc_now
from raylift.store import Store

Proven = Callable[[Person], None]
"""Called with the person before the key is stored."""


class IdentityProvider(Protocol):
    """Every method raises EngineUnavailable where the provider does not answer."""

    def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str: ...

    def redeem(self, code: str, *, verifier: str, redirect_uri: str, nonce: str) -> Person:
        """Raises Unauthenticated."""
        ...

    def start_device(self) -> DeviceLogin:
        """Raises NotFound where the provider has no such sign-in."""
        ...

    def redeem_device(self, device_code: str) -> Person | None:
        """Return None while the person has not confirmed. Raises Unauthenticated."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one sign-in on the provider's page."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """Return what the provider may know of the verifier (PKCE)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def __repr__(self) -> str:
        return "Attempt()"


class LoginService:
    """Args: the settings; the provider, None where there is none."""

    def __init__(
        self, store: Store, settings: OidcSettings, provider: IdentityProvider | None, *, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._settings = settings
        self._provider = provider
        self._clock = clock
        self._rules = [GroupRights(rule.group, rule.role, rule.workspace) for rule in settings.groups]

    @property
    def is_offered(self) -> bool:
        return self._provider is not None

    def begin(self, redirect_uri: str) -> tuple[str, Attempt]:
        """Return the provider's page for a new sign-in, and its secrets."""
        attempt = Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))
        return self.page(redirect_uri, attempt.state, attempt.nonce, attempt.challenge), attempt

    def page(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        return self._offered().authorization_url(redirect_uri=redirect_uri, state=state, nonce=nonce, challenge=challenge)

    def finish(
        self, code: str, *, verifier: str, redirect_uri: str, nonce: str, workspace: str | None = None, proven: Proven
    ) -> CreatedKey:
        """Store a key for the person of the code.

        Raises:
            Unauthenticated: the provider does not know the code, or its token is not valid.
            Forbidden: the person is in no group that may sign in.
        """
        return self._signed_in(
            self._offered().redeem(code, verifier=verifier, redirect_uri=redirect_uri, nonce=nonce), workspace, proven
        )

    def start_device(self) -> DeviceLogin:
        return self._offered().start_device()

    def finish_device(self, device_code: str, *, workspace: str | None = None, proven: Proven) -> CreatedKey | None:
        """Store a key for the person who has confirmed; None while that is waited for. Raises as ``finish`` does."""
        person = self._offered().redeem_device(device_code)
        return None if person is None else self._signed_in(person, workspace, proven)

    def end(self, caller: Principal) -> bool:
        """End the caller's key if a sign-in made it. Returns True then."""
        if caller.key_id is None or self._store.keys.get(caller.key_id).subject is None:
            return False
        self._store.keys.expire(caller.key_id, now=self._clock())
        return True

    def _offered(self) -> IdentityProvider:
        if self._provider is None:
            raise NotFound("This platform has no identity provider (oidc.issuer). Sign in with a key of an admin.")
        return self._provider

    def _signed_in(self, person: Person, workspace: str | None, proven: Proven) -> CreatedKey:
        proven(person)
        rights = rights_of(person, self._rules, workspace)
        now, token = self._clock(), new_token()
        expires_at = now + timedelta(hours=self._settings.session_hours)
        key = AccessKey(
            token.key_id, token.sha256, person.name, rights.role, rights.workspace, (), now, person.name, expires_at,
            subject=person.subject,
        )  # fmt: skip
        self._store.keys.add_login(key)
        return CreatedKey(key, token.text)

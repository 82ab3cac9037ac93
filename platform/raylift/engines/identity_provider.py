"""The OpenID Connect provider: its discovery document, tokens and keys.

Tokens come from the provider itself, over the connection that its certificate proves, and never from a client. They are
verified all the same: signature, issuer, audience, times and nonce.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote_plus, urlencode

import httpx
import jwt

from raylift.access_settings import OidcSettings
from raylift.domain.errors import EngineUnavailable, Forbidden, NotFound, Unauthenticated
from raylift.domain.security.login import DeviceLogin, Person, name_of

_SECONDS: Final = 10.0
_OK: Final = 200
_DOCUMENT_SECONDS: Final = 3600.0
_KEYS_PAUSE: Final = 10.0
"""Pause between two readings of the keys for tokens of an unknown one."""
_LEEWAY_SECONDS: Final = 30
_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures by a key pair. Never ``none``, nor those by a secret that the client shares."""
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_WAITING: Final = frozenset({"authorization_pending", "slow_down"})


class OidcProvider:
    """Args: the settings, with an issuer; a transport for tests."""

    def __init__(self, settings: OidcSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._issuer = settings.issuer or ""
        self._http = httpx.Client(timeout=_SECONDS, transport=transport, headers={"Accept": "application/json"})
        self._lock = threading.Lock()
        self._document: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, jwt.PyJWKSet] | None = None

    def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Return the provider's page for a sign-in. Raises EngineUnavailable."""
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        page = self._endpoint("authorization_endpoint")
        return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}"

    def redeem(self, code: str, *, verifier: str, redirect_uri: str, nonce: str) -> Person:
        """Return the person whom a code of the provider's page proves.

        Raises:
            Unauthenticated: the code or the token is not valid.
            EngineUnavailable: the provider does not answer.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        status, answer = self._token(form)
        if status != _OK:
            raise Unauthenticated(f"The provider refused the sign-in: {_reason(answer)}. Sign in again.")
        return self._person(answer, nonce)

    def start_device(self) -> DeviceLogin:
        """Begin a sign-in on another device. Raises NotFound where the provider has none, and EngineUnavailable."""
        if "device_authorization_endpoint" not in self._discovered():
            raise NotFound(f"{self._issuer} has no sign-in on another device. Sign in with a browser of this machine.")
        form = {"client_id": self._settings.client_id, "scope": " ".join(self._settings.scopes)}
        status, answer = self._post(self._endpoint("device_authorization_endpoint"), form)
        if status != _OK:
            raise EngineUnavailable(f"{self._issuer} began no sign-in: {_reason(answer)}.")
        return DeviceLogin(
            device_code=str(answer["device_code"]),
            user_code=str(answer["user_code"]),
            verification_uri=str(answer["verification_uri"]),
            verification_uri_complete=answer.get("verification_uri_complete"),
            expires_seconds=int(answer.get("expires_in", 600)),
            pause_seconds=int(answer.get("interval", 5)),
        )

    def redeem_device(self, device_code: str) -> Person | None:
        """Return the person who has confirmed; None while that is waited for. Raises as ``redeem`` does."""
        status, answer = self._token({"grant_type": _DEVICE_GRANT, "device_code": device_code})
        if status == _OK:
            return self._person(answer, nonce=None)
        if answer.get("error") in _WAITING:
            return None
        raise Unauthenticated(f"The provider refused the sign-in: {_reason(answer)}. Sign in again.")

    def _person(self, answer: Mapping[str, Any], nonce: str | None) -> Person:
        settings = self._settings
        claims = self._verified(str(answer.get("id_token", "")), nonce)
        if not {settings.name_claim, settings.groups_claim} <= claims.keys():
            claims = {**self._user_info(answer, str(claims["sub"])), **claims}
        if settings.name_claim == "email" and claims.get("email_verified") is False:
            raise Forbidden("The provider has not verified the person's e-mail address.")
        groups: object = claims.get(settings.groups_claim, ())
        members = [groups] if isinstance(groups, str) else groups if isinstance(groups, list | tuple) else ()
        return Person(
            subject=f"{self._issuer} {claims['sub']}",
            name=name_of(str(claims.get(settings.name_claim) or claims["sub"])),
            groups=frozenset(str(group) for group in cast("list[object]", members)),
        )

    def _verified(self, token: str, nonce: str | None) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                token,
                self._key_of(token),
                algorithms=_ALGORITHMS,
                audience=self._settings.client_id,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"The provider's token is not valid: {error}. Sign in again.") from error
        if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")), nonce):
            raise Unauthenticated("The provider's token belongs to another sign-in. Sign in again.")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._settings.client_id:
            raise Unauthenticated("The provider's token was made for another client. Sign in again.")
        return claims

    def _key_of(self, token: str) -> jwt.PyJWK:
        kid = jwt.get_unverified_header(token).get("kid")
        for max_age in (_DOCUMENT_SECONDS, _KEYS_PAUSE):
            keys = self._key_set(max_age).keys
            found = [key for key in keys if kid in (None, key.key_id) and key.public_key_use in (None, "sig")]
            if len(found) == 1 or (found and kid is not None):
                return found[0]
        raise Unauthenticated("The provider's token is signed by a key that the provider does not name. Sign in again.")

    def _key_set(self, max_age: float) -> jwt.PyJWKSet:
        with self._lock:
            known = self._keys
        if known is not None and time.monotonic() - known[0] <= max_age:
            return known[1]
        try:
            keys = jwt.PyJWKSet.from_dict(dict(self._get(self._endpoint("jwks_uri"))))
        except jwt.PyJWTError as error:
            raise EngineUnavailable(f"The keys of {self._issuer} cannot be read: {error}.") from error
        with self._lock:
            self._keys = (time.monotonic(), keys)
        return keys

    def _user_info(self, answer: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
        """Return the claims of the user-info endpoint, which some providers give only there."""
        page, access = self._discovered().get("userinfo_endpoint"), answer.get("access_token")
        if not page or not access:
            return {}
        found = self._get(str(page), {"Authorization": f"Bearer {access}"})
        return found if found.get("sub") == subject else {}

    def _token(self, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        settings, url = self._settings, self._endpoint("token_endpoint")
        given = {**form, "client_id": settings.client_id}
        if settings.client_secret_file is None:
            return self._post(url, given)
        secret = _read_secret(settings.client_secret_file)
        # The default of OpenID Connect is basic authentication, whose parts are encoded as in forms (RFC 6749, 2.3.1).
        if "client_secret_post" in self._discovered().get("token_endpoint_auth_methods_supported", ()):
            return self._post(url, {**given, "client_secret": secret})
        return self._post(url, given, httpx.BasicAuth(quote_plus(settings.client_id), quote_plus(secret)))

    def _endpoint(self, name: str) -> str:
        try:
            return str(self._discovered()[name])
        except KeyError:
            raise EngineUnavailable(f"{self._issuer} names no {name}.") from None

    def _discovered(self) -> Mapping[str, Any]:
        with self._lock:
            known = self._document
        if known is not None and time.monotonic() - known[0] <= _DOCUMENT_SECONDS:
            return known[1]
        document = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer:
            raise EngineUnavailable(f"{self._issuer} calls itself {document.get('issuer')!r}: set oidc.issuer to that address.")
        with self._lock:
            self._document = (time.monotonic(), document)
        return document

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            answer = self._http.get(url, headers=headers)
            answer.raise_for_status()
            return _object(answer)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise EngineUnavailable(f"The identity provider does not answer at {url}: {error}") from error

    def _post(self, url: str, form: Mapping[str, str], auth: httpx.BasicAuth | None = None) -> tuple[int, Mapping[str, Any]]:
        try:
            answer = self._http.post(url, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)
            if answer.status_code < 500:
                return answer.status_code, _object(answer)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise EngineUnavailable(f"The identity provider does not answer at {url}: {error}") from error
        raise EngineUnavailable(f"The identity provider answers {answer.status_code} at {url}.")


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    content: object = answer.json()
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - of the other side
    return cast("dict[str, Any]", content)


def _reason(answer: Mapping[str, Any]) -> str:
    return str(answer.get("error_description") or answer.get("error") or "without a reason")[:200].rstrip(".")


def _read_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EngineUnavailable(f"oidc.client_secret_file {file} cannot be read: {error.strerror}.") from error

"""Tokens of an identity provider that are not what they should be, on a scripted provider."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from pydantic import ValidationError

from raylift.access_settings import OidcSettings
from raylift.domain.errors import EngineUnavailable, Forbidden, NotFound, PlatformError, Unauthenticated
from raylift.engines.identity_provider import OidcProvider

ISSUER = "https://id.example"
OURS, OTHER, NEXT = (rsa.generate_private_key(65537, 2048) for _ in range(3))
GROUPS = ({"group": "red", "role": "submitter"},)


class Scripted:
    """Answers as the provider does. ``claims`` and ``key`` make the next token."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {
            "iss": ISSUER, "sub": "1", "aud": "raylift", "nonce": "n", "email": "ann@example.org", "groups": ["red"],
        }  # fmt: skip
        self.key: Any = OURS
        self.kid = "k1"
        self.algorithm = "RS256"
        self.token: str | None = None
        self.keys = {"k1": OURS}
        self.user_info: dict[str, Any] = {}
        self.document: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/me",
        }
        self.asked: list[httpx.Request] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.document)
            case "/keys":
                public = [
                    {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}
                    for kid, key in self.keys.items()
                ]
                return httpx.Response(200, json={"keys": public})
            case "/me":
                return httpx.Response(200, json=self.user_info)
            case _:
                return httpx.Response(self.status, json={"id_token": self._token(), "access_token": "a", "error": "no"})

    def _token(self) -> str:
        now = int(time.time())
        claims = {"iat": now, "exp": now + 60, **self.claims}
        return self.token or jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid})


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def redeem(scripted: Scripted, **settings: Any) -> Any:
    made = OidcSettings.model_validate({"issuer": ISSUER, "client_id": "raylift", "groups": GROUPS, **settings})
    provider = OidcProvider(made, httpx.MockTransport(scripted))
    return provider.redeem("c", verifier="v", redirect_uri="http://127.0.0.1:1/", nonce="n")


def test_valid_token_proves_a_person(scripted: Scripted) -> None:
    person = redeem(scripted)
    assert (person.subject, person.name, person.groups) == (f"{ISSUER} 1", "ann@example.org", frozenset({"red"}))


def forged(**claims: Any) -> Callable[[Scripted], None]:
    return lambda scripted: scripted.claims.update(claims)


def unsigned(scripted: Scripted) -> None:
    scripted.key, scripted.algorithm = None, "none"


def by_another_key(scripted: Scripted) -> None:
    scripted.key = OTHER


def by_the_public_key(scripted: Scripted) -> None:
    """The public key, which everybody knows, taken for a shared secret."""
    known = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = scripted.claims | {"iat": int(time.time()), "exp": int(time.time()) + 60}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "k1"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(known, signed, "sha256")).rstrip(b"=")
    scripted.token = (signed + b"." + signature).decode()


def by_an_unknown_key(scripted: Scripted) -> None:
    scripted.key, scripted.kid = OTHER, "k2"


def no_token(scripted: Scripted) -> None:
    scripted.token = "no-token"


@pytest.mark.parametrize(
    "spoil",
    [
        forged(iss="https://other.example"),
        forged(aud="another-client"),
        forged(aud=["raylift", "another-client"]),
        forged(aud=["raylift", "another-client"], azp="another-client"),
        forged(exp=1_000_000_000),
        forged(iat=4_000_000_000),
        forged(nonce="of-another-sign-in"),
        forged(nonce=None),
        forged(sub=None),
        unsigned,
        by_another_key,
        by_the_public_key,
        by_an_unknown_key,
        no_token,
    ],
)
def test_forged_token_is_refused(scripted: Scripted, spoil: Callable[[Scripted], None]) -> None:
    spoil(scripted)
    with pytest.raises(Unauthenticated, match="Sign in again"):
        redeem(scripted)


def test_refused_code_says_the_reason(scripted: Scripted) -> None:
    scripted.status = 400
    with pytest.raises(Unauthenticated, match="refused the sign-in: no"):
        redeem(scripted)


def test_new_key_of_the_provider_is_found(scripted: Scripted) -> None:
    scripted.keys["k2"] = NEXT
    scripted.key, scripted.kid = NEXT, "k2"
    assert redeem(scripted).name == "ann@example.org"


def test_claims_outside_of_the_token_come_from_user_info(scripted: Scripted) -> None:
    del scripted.claims["groups"]
    scripted.user_info = {"sub": "1", "groups": "red", "email": "eve@example.org"}
    assert (redeem(scripted).groups, redeem(scripted).name) == (frozenset({"red"}), "ann@example.org")
    scripted.user_info["sub"] = "2"
    assert redeem(scripted).groups == frozenset()


def test_unverified_address_names_nobody(scripted: Scripted) -> None:
    scripted.claims["email_verified"] = False
    with pytest.raises(Forbidden, match="not verified"):
        redeem(scripted)


@pytest.mark.parametrize(("claim", "name"), [("Ann Lee <x>", "Ann-Lee-x"), ("ann+a@example.org", "ann-a@example.org")])
def test_name_becomes_one_of_the_platform(scripted: Scripted, claim: str, name: str) -> None:
    scripted.claims["name"] = claim
    assert redeem(scripted, name_claim="name").name == name


def test_secret_is_sent_as_the_provider_asks(scripted: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    redeem(scripted, client_secret_file=str(file))
    assert scripted.asked[1].headers["authorization"].startswith("Basic ")
    scripted.document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    scripted.asked.clear()
    redeem(scripted, client_secret_file=str(file))
    assert b"client_secret=s3cret" in scripted.asked[1].content
    with pytest.raises(EngineUnavailable, match="client_secret_file"):
        redeem(scripted, client_secret_file=str(tmp_path / "none"))


def test_provider_that_is_another_one_is_not_believed(scripted: Scripted) -> None:
    scripted.document["issuer"] = "https://other.example"
    with pytest.raises(EngineUnavailable, match=r"set oidc\.issuer"):
        redeem(scripted)


def test_provider_that_is_down_is_named() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="bad gateway")

    settings = OidcSettings.model_validate({"issuer": ISSUER, "client_id": "raylift", "groups": GROUPS})
    with pytest.raises(PlatformError, match="does not answer"):
        OidcProvider(settings, httpx.MockTransport(down)).start_device()


def test_provider_without_device_sign_in_says_so(scripted: Scripted) -> None:
    settings = OidcSettings.model_validate({"issuer": ISSUER, "client_id": "raylift", "groups": GROUPS})
    with pytest.raises(NotFound, match="no sign-in on another device"):
        OidcProvider(settings, httpx.MockTransport(scripted)).start_device()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"issuer": "http://id.example", "client_id": "x", "groups": GROUPS}, "https"),
        ({"issuer": ISSUER, "groups": GROUPS}, "client_id"),
        ({"issuer": ISSUER, "client_id": "x"}, "groups is empty"),
        ({"issuer": ISSUER, "client_id": "x", "groups": GROUPS, "scopes": ["email"]}, "openid"),
    ],
)
def test_incomplete_settings_say_what_is_missing(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OidcSettings.model_validate(values)

"""Wire models of ``/mlops/auth``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LOOPBACK_REDIRECT = r"^http://(127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5}/$"
"""Form of the addresses to which the provider may send a browser back to the command line (RFC 8252)."""

_Secret = Annotated[str, Field(min_length=1, max_length=4096)]


class ProviderView(BaseModel):
    issuer: str
    client_id: str
    name: Annotated[str, Field(description="Name for people.")]


class AuthView(BaseModel):
    auth: Annotated[str, Field(description="`local`: no key is needed. `keys`: every request needs one.")]
    provider: Annotated[ProviderView | None, Field(description="The identity provider; null: keys come from an admin.")]


class LoginPageRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    redirect_uri: Annotated[str, Field(pattern=LOOPBACK_REDIRECT, description="Loopback address of the caller.")]
    state: _Secret
    nonce: _Secret
    challenge: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$", description="PKCE: SHA-256 of the verifier, in base64url.")]


class LoginPage(BaseModel):
    url: Annotated[str, Field(description="The provider's page for the browser.")]


class LoginRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: _Secret
    verifier: Annotated[str, Field(pattern="^[A-Za-z0-9._~-]{43,128}$", description="PKCE: the secret of the challenge.")]
    redirect_uri: Annotated[str, Field(pattern=LOOPBACK_REDIRECT)]
    nonce: _Secret
    workspace: Annotated[str | None, Field(description="One of the caller's workspaces; null: the first.")] = None


class DeviceLoginView(BaseModel):
    device_code: Annotated[str, Field(description="Secret of this sign-in, for `/mlops/auth/device/login`.")]
    user_code: str
    verification_uri: Annotated[str, Field(description="Page at which the person enters the user code.")]
    verification_uri_complete: str | None
    expires_in: Annotated[int, Field(description="Seconds.")]
    interval: Annotated[int, Field(description="Least seconds between two questions.")]


class DeviceLoginRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device_code: _Secret
    workspace: Annotated[str | None, Field(description="One of the caller's workspaces; null: the first.")] = None


class LoginPending(BaseModel):
    interval: Annotated[int, Field(description="Seconds until the next question.")]

"""A real OpenID Connect provider as a process: oidc-provider-mock, with PKCE and sign-ins on another device added.

python tests/identity_provider.py PORT
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

CLIENT_ID = "raylift"


@dataclass(frozen=True)
class Provider:
    issuer: str

    def put(self, subject: str, **claims: Any) -> None:
        """Make or change a person."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims, trust_env=False).raise_for_status()

    def sign_in(self, page: str, subject: str) -> str:
        """Sign in on the provider's page, as a person does, and return where it leads the browser."""
        answer = httpx.post(page, data={"sub": subject}, trust_env=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def confirm(self, user_code: str, subject: str) -> None:
        """Confirm a sign-in of another device."""
        form = {"user_code": user_code, "sub": subject}
        httpx.post(f"{self.issuer}/device/confirm", data=form, trust_env=False).raise_for_status()

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a platform that takes its people: ``red`` submits, ``ops`` administers."""
        groups = [
            {"group": "ops", "role": "admin"},
            {"group": "red", "role": "submitter", "workspace": "red"},
            {"group": "blue", "role": "viewer", "workspace": "blue"},
        ]
        return {"issuer": self.issuer, "client_id": CLIENT_ID, "groups": groups, **more}


@contextmanager
def running_provider() -> Iterator[Provider]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(Path(__file__)), str(port)], stderr=subprocess.DEVNULL)
    provider = Provider(f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            try:
                httpx.get(provider.issuer, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield provider
    finally:
        process.kill()
        process.wait()


def extended_app() -> Any:  # noqa: C901 - one function for each route
    """The provider with what it lacks."""
    import flask
    import oidc_provider_mock
    from joserfc import jwt
    from joserfc.jwk import RSAKey
    from oidc_provider_mock._storage import storage

    app = oidc_provider_mock.app(require_nonce=True)
    challenges: dict[str, str] = {}
    devices: dict[str, dict[str, str]] = {}

    @app.before_request
    def check_verifier() -> Any:
        form = flask.request.form
        if flask.request.path == "/oauth2/token" and form.get("grant_type") == "authorization_code":
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if challenges.get(form["code"]) != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                return {"error": "invalid_grant", "error_description": "the verifier is wrong"}, 400
        if flask.request.path == "/oauth2/token" and form.get("grant_type", "").endswith("device_code"):
            return device_token(form["device_code"])
        return None

    @app.after_request
    def keep_challenge(answer: Any) -> Any:
        if flask.request.path == "/oauth2/authorize" and "Location" in answer.headers:
            code = parse_qs(urlsplit(answer.headers["Location"]).query).get("code")
            if code:
                assert flask.request.args["code_challenge_method"] == "S256"
                challenges[code[0]] = flask.request.args["code_challenge"]
        if flask.request.path == "/.well-known/openid-configuration":
            document = answer.get_json() | {"device_authorization_endpoint": f"{flask.request.host_url}device"}
            answer.set_data(json.dumps(document))
        return answer

    @app.post("/device")
    def device() -> Any:
        device_code = secrets.token_urlsafe(16)
        devices[device_code] = {"user_code": secrets.token_hex(4), "client_id": flask.request.form["client_id"]}
        page = f"{flask.request.host_url}device/confirm"
        user_code = devices[device_code]["user_code"]
        return {"device_code": device_code, "user_code": user_code, "verification_uri": page, "expires_in": 60, "interval": 0}

    @app.post("/device/confirm")
    def confirm() -> Any:
        (found,) = [one for one in devices.values() if one["user_code"] == flask.request.form["user_code"]]
        found["sub"] = flask.request.form["sub"]
        return "", 204

    def device_token(device_code: str) -> Any:
        found = devices.get(device_code)
        if found is None:
            return {"error": "expired_token"}, 400
        if "sub" not in found:
            return {"error": "authorization_pending"}, 400
        del devices[device_code]
        user = storage.get_user(found["sub"])
        assert user is not None
        now = int(time.time())
        key = RSAKey.import_key(storage.jwk.as_dict(is_private=True))
        claims = {**user.claims, "iss": flask.request.host_url.rstrip("/"), "sub": user.sub, "aud": found["client_id"]}
        token = jwt.encode({"alg": "RS256", "kid": key.kid}, {**claims, "iat": now, "exp": now + 60}, key)
        return {"access_token": uuid.uuid4().hex, "token_type": "Bearer", "id_token": token}

    return app


def code_in(address: str) -> str:
    """Return the code in an address to which the provider has led the browser."""
    found = re.search(r"[?&]code=([^&]+)", address)
    assert found, address
    return found[1]


if __name__ == "__main__":
    from werkzeug.serving import make_server

    make_server("127.0.0.1", int(sys.argv[1]), extended_app(), threaded=True).serve_forever()

"""Sign-ins with a real identity provider: keys of the command line, sessions of browsers, and what ends them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn

from raylift import Client, Forbidden
from raylift.client.login import SignInFailed, sign_in_by_browser, sign_in_by_device, ways_in
from raylift.settings import PlatformSettings
from tests.identity_provider import Provider, code_in
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

BACK = "http://127.0.0.1:4000/"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


async def proof_of(keyed: KeyedPlatform, provider: Provider, subject: str, **more: Any) -> dict[str, Any]:
    """Sign in on the provider's page, and return what the command line then sends."""
    nonce = f"nonce-{subject}-{id(more)}"
    asked = {"redirect_uri": BACK, "state": "s", "nonce": nonce, "challenge": CHALLENGE}
    answer = await keyed.send(None, "POST", "/mlops/auth/page", json=asked)
    assert answer.status_code == 200, answer.text
    code = code_in(await asyncio.to_thread(provider.sign_in, answer.json()["url"], subject))
    return {"code": code, "verifier": VERIFIER, "redirect_uri": BACK, "nonce": nonce, **more}


async def sign_in(keyed: KeyedPlatform, provider: Provider, subject: str, **more: Any) -> httpx.Response:
    proof = await proof_of(keyed, provider, subject, **more)
    return await keyed.send(None, "POST", "/mlops/auth/login", json=proof)


async def audited(keyed: KeyedPlatform) -> list[tuple[str, str, str | None]]:
    entries = (await keyed.send("admin", "GET", "/mlops/audit?action=login")).json()["entries"]
    return [(entry["who"], entry["outcome"], entry["target"]) for entry in entries]


async def test_sign_in_gives_a_key_of_some_hours(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("ann", email="ann@example.org", groups=["red", "unknown"])
    made = await sign_in(keyed, provider, "ann")
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()
    assert (key["name"], key["role"], key["workspace"]) == ("ann@example.org", "submitter", "red")
    assert key["subject"] == f"{provider.issuer} ann"
    lasts = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    assert lasts == timedelta(hours=12)
    me = (await keyed.send(key["key"], "GET", "/mlops/whoami")).json()
    assert (me["name"], me["role"]) == ("ann@example.org", "submitter")
    assert (await keyed.send(key["key"], "GET", "/mlops/keys")).status_code == 403
    listed = (await keyed.send("admin", "GET", "/mlops/keys")).json()["keys"]
    assert key["key_id"] in {one["key_id"] for one in listed}
    assert await audited(keyed) == [("ann@example.org", "done", key["key_id"])]
    assert (await keyed.send("admin", "POST", f"/mlops/keys/{key['key_id']}/rotate")).status_code == 409

    await keyed.send("admin", "DELETE", f"/mlops/keys/{key['key_id']}")
    assert (await keyed.send(key["key"], "GET", "/mlops/whoami")).status_code == 401


async def test_person_who_has_left_the_group_gets_no_new_key(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("bob", email="bob@example.org", groups=["red"])
    assert (await sign_in(keyed, provider, "bob")).status_code == 201
    provider.put("bob", email="bob@example.org", groups=["visitors"])
    refused = await sign_in(keyed, provider, "bob")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "in no group" in refused.json()["detail"]
    assert (await audited(keyed))[0] == ("bob@example.org", "refused", None)


async def test_first_group_decides_unless_a_workspace_is_asked(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("cleo", email="cleo@example.org", groups=["blue", "red"])
    assert (await sign_in(keyed, provider, "cleo")).json()["workspace"] == "red"
    chosen = (await sign_in(keyed, provider, "cleo", workspace="blue")).json()
    assert (chosen["workspace"], chosen["role"]) == ("blue", "viewer")
    refused = await sign_in(keyed, provider, "cleo", workspace="default")
    assert refused.status_code == 403
    assert "only in blue, red" in refused.json()["detail"]


async def test_code_works_once_and_only_with_its_secrets(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("dan", email="dan@example.org", groups=["red"])
    for wrong in ({"verifier": "w" * 64}, {"nonce": "another"}, {"code": "guessed"}):
        proof = await proof_of(keyed, provider, "dan")
        answer = await keyed.send(None, "POST", "/mlops/auth/login", json=proof | wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), wrong
    proof = await proof_of(keyed, provider, "dan")
    assert (await keyed.send(None, "POST", "/mlops/auth/login", json=proof)).status_code == 201
    assert (await keyed.send(None, "POST", "/mlops/auth/login", json=proof)).status_code == 401
    foreign = proof | {"redirect_uri": "https://attacker.example/"}
    assert (await keyed.send(None, "POST", "/mlops/auth/login", json=foreign)).status_code == 422


async def test_expired_sign_in_is_refused(settings: PlatformSettings, empty: Path, provider: Provider) -> None:
    provider.put("eve", email="eve@example.org", groups=["ops"])
    short = settings.model_copy(update={"oidc": settings.oidc.model_copy(update={"session_hours": 1e-9})})
    async with keyed_platform(short, empty) as keyed:
        key = (await sign_in(keyed, provider, "eve")).json()["key"]
        answer = await keyed.send(key, "GET", "/mlops/whoami")
        assert (answer.status_code, "has expired" in answer.text) == (401, True)


async def test_platform_without_a_provider_says_so(settings: PlatformSettings, empty: Path) -> None:
    alone = settings.model_copy(update={"oidc": type(settings.oidc)()})
    async with keyed_platform(alone, empty) as keyed:
        assert (await keyed.send(None, "GET", "/mlops/auth")).json() == {"auth": "keys", "provider": None}
        answer = await keyed.send(None, "POST", "/mlops/auth/device")
        assert (answer.status_code, "Sign in with a key" in answer.text) == (404, True)
        assert (await keyed.send(None, "GET", "/mlops/auth/start")).status_code == 404


async def test_command_line_signs_in_by_browser_and_by_device(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("fay", email="fay@example.org", groups=["red"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(keyed.app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            await asyncio.to_thread(_sign_in_both_ways, url, provider)
        finally:
            server.should_exit = True
            await serving


def _sign_in_both_ways(url: str, provider: Provider) -> None:
    def browser(page: str) -> None:
        def visit() -> None:
            where = provider.sign_in(page, "fay")
            base, _, query = where.partition("?")
            # A page that guesses the port does not end the wait.
            assert httpx.get(f"{base}?code=forged&state=guessed", trust_env=False).status_code == 404
            assert httpx.get(f"{base}favicon.ico", trust_env=False).status_code == 404
            assert httpx.get(f"{base}?{query}", trust_env=False).status_code == 200

        threading.Thread(target=visit).start()

    with Client(url, "none") as client:
        found = ways_in(client).provider
        assert found is not None
        assert found.issuer == provider.issuer
        by_browser = sign_in_by_browser(client, browser).key
        by_device = sign_in_by_device(client, lambda begun: provider.confirm(begun.user_code, "fay")).key
        with pytest.raises(Forbidden, match="no rights in the workspace"):
            sign_in_by_browser(client, browser, workspace="blue")
        with pytest.raises(SignInFailed, match="Nobody signed in"):
            sign_in_by_browser(client, lambda _: None, seconds=0.05)
    for key in (by_browser, by_device):
        with Client(url, key) as client:
            assert client.whoami().name == "fay@example.org"


async def test_device_sign_in_waits_for_the_person(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("gus", email="gus@example.org", groups=["red"])
    begun = (await keyed.send(None, "POST", "/mlops/auth/device")).json()
    proof = {"device_code": begun["device_code"]}
    waiting = await keyed.send(None, "POST", "/mlops/auth/device/login", json=proof)
    assert (waiting.status_code, waiting.json()) == (202, {"interval": 5})
    assert await audited(keyed) == []
    provider.confirm(begun["user_code"], "gus")
    assert (await keyed.send(None, "POST", "/mlops/auth/device/login", json=proof)).status_code == 201
    assert (await keyed.send(None, "POST", "/mlops/auth/device/login", json=proof)).status_code == 401


async def browse(keyed: KeyedPlatform, provider: Provider, subject: str, to: str = "/console/jobs") -> httpx.Response:
    """Go through the sign-in of the console. The client keeps cookies as a browser does."""
    begun = await keyed.http.get("/mlops/auth/start", params={"to": to})
    assert begun.status_code == 303, begun.text
    where = await asyncio.to_thread(provider.sign_in, begun.headers["location"], subject)
    parts = urlsplit(where)
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "localhost", "/mlops/auth/callback")
    return await keyed.http.get(parts.path, params={name: values[0] for name, values in parse_qs(parts.query).items()})


async def test_console_gets_a_session_that_scripts_cannot_read(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("hal", email="hal@example.org", groups=["red"])
    answer = await browse(keyed, provider, "hal")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/jobs")
    (session, ended) = answer.headers.get_list("set-cookie")
    assert session.startswith("raylift_session=rl_")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(session.split("; "))
    assert "Secure" not in session
    assert "Max-Age=0" in ended
    assert (await keyed.http.get("/mlops/whoami")).json()["name"] == "hal@example.org"

    signed_out = await keyed.http.delete("/mlops/auth/session", headers={"Origin": "http://localhost"})
    assert signed_out.status_code == 204
    token = session.partition("=")[2].partition(";")[0]
    assert (await keyed.send(token, "GET", "/mlops/whoami")).status_code == 401
    found = await keyed.send("admin", "GET", "/mlops/audit", params={"action": "logout"})
    assert [(entry["who"], entry["outcome"]) for entry in found.json()["entries"]] == [("hal@example.org", "done")]


async def test_foreign_sign_in_cannot_be_finished_in_a_browser(keyed: KeyedPlatform, provider: Provider) -> None:
    provider.put("ida", email="ida@example.org", groups=["red"])
    begun = await keyed.http.get("/mlops/auth/start")
    where = await asyncio.to_thread(provider.sign_in, begun.headers["location"], "ida")
    query = urlsplit(where).query
    keyed.http.cookies.clear()  # Another browser: the attacker's code in the victim's.
    for cookie in ("", "raylift_login=e30=", "raylift_login=%%%"):
        answer = await keyed.http.get(f"/mlops/auth/callback?{query}", headers={"Cookie": cookie} if cookie else {})
        assert (answer.status_code, "set-cookie" in answer.headers) == (400, False)
        assert "Not signed in" in answer.text
    denied = await keyed.http.get("/mlops/auth/callback?error=<script>")
    assert "<script>" not in denied.text


@pytest.mark.parametrize("to", ["https://attacker.example/", "//attacker.example", "/console/\\\\x", "/mlops/keys"])
async def test_sign_in_leads_to_pages_of_the_console_only(keyed: KeyedPlatform, provider: Provider, to: str) -> None:
    provider.put("jo", email="jo@example.org", groups=["red"])
    assert (await browse(keyed, provider, "jo", to)).headers["location"] == "/console/"


async def test_session_of_a_key_is_for_own_pages_alone(keyed: KeyedPlatform) -> None:
    own = {"Origin": "http://localhost"}
    refused = await keyed.http.post("/mlops/auth/session", headers=own | {"X-Raylift-Console": "1"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    made = await keyed.send("admin", "POST", "/mlops/auth/session", headers=own)
    assert (made.status_code, "Max-Age" in made.headers["set-cookie"]) == (204, False)
    get, post = ("GET", "/mlops/keys"), ("POST", "/mlops/keys")
    for (method, path), headers, status in (
        (get, {}, 200),
        (get, own, 200),
        (get, {"Sec-Fetch-Site": "same-origin"}, 200),
        (get, {"Sec-Fetch-Site": "none"}, 200),
        (get, {"Sec-Fetch-Site": "cross-site"}, 401),
        (get, {"Sec-Fetch-Site": "same-site"}, 401),
        (get, {"Origin": "http://localhost:3000"}, 401),
        (get, {"Origin": "null"}, 401),
        (post, own, 201),
        (post, {}, 401),
        (post, {"Sec-Fetch-Site": "same-origin"}, 401),
        (post, {"Origin": "http://localhost:3000"}, 403),
        (post, {"Origin": "null"}, 403),
    ):
        answer = await keyed.http.request(method, path, headers=headers, json={"name": "x"} if method == "POST" else None)
        assert answer.status_code == status, (method, headers)
    # A key in the header counts, not the cookie's.
    assert (await keyed.send("wrong", "GET", "/mlops/whoami")).status_code == 401
    assert (await keyed.http.delete("/mlops/auth/session", headers=own)).status_code == 204
    assert (await keyed.send("admin", "GET", "/mlops/whoami")).status_code == 200


async def test_cookies_are_secure_behind_tls(settings: PlatformSettings, empty: Path, provider: Provider) -> None:
    provider.put("kim", email="kim@example.org", groups=["red"])
    gateway = settings.gateway.model_copy(update={"tls": settings.gateway.tls.model_copy(update={"cert": Path("/c.pem")})})
    async with keyed_platform(settings.model_copy(update={"gateway": gateway}), empty) as keyed:
        begun = await keyed.http.get("/mlops/auth/start")
        assert "redirect_uri=https%3A%2F%2Flocalhost%2Fmlops%2Fauth%2Fcallback" in begun.headers["location"]
        assert "; Secure" in begun.headers["set-cookie"]
        made = await keyed.send("admin", "POST", "/mlops/auth/session")
        assert "; Secure" in made.headers["set-cookie"]

"""TLS at the real HAProxy: its headers, and a certificate that changes under load."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from raylift.domain.access import AccessKey, Role, new_token
from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from raylift.ingress.keys import KeyMaps
from raylift.ingress.tls import CertificateReload, read_certificate
from tests.certificates import Authority
from tests.integration.ingress.conftest import INFERENCE, ROUTE, Ingress, running_ingress

HSTS = "max-age=1000"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.issue(tmp_path)


@pytest.fixture
def secure(files: tuple[Path, Path]) -> Iterator[Ingress]:
    guard = Guard(frozenset(LOOPBACK_NAMES))
    with running_ingress(guard, pem=read_certificate(*files).pem, hsts_seconds=1000) as running:
        yield running


@pytest.fixture
def trusting(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.pem")))


def serial(port: int, trusting: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_answers_come_by_tls_and_forbid_http(secure: Ingress, trusting: ssl.SSLContext) -> None:
    with httpx.Client(verify=trusting, trust_env=False) as client:
        for path in (f"{ROUTE}/predict", INFERENCE, "/mlops/models"):
            answer = client.post(f"https://127.0.0.1:{secure.port}{path}", content=b"{}")
            assert answer.headers["strict-transport-security"] == HSTS
            assert answer.json()["headers"]["x-forwarded-proto"] == "https"
        refused = client.get(f"https://127.0.0.1:{secure.port}/", headers={"Host": "evil.example"})
        assert refused.status_code == 403
        # Browsers would refuse all other servers of this machine that have no TLS.
        local = client.get(f"https://localhost:{secure.port}/", headers={"Host": "LOCALHOST:1"})
        assert "strict-transport-security" not in local.headers


def test_pages_may_not_be_framed(secure: Ingress, trusting: ssl.SSLContext) -> None:
    with httpx.Client(verify=trusting, trust_env=False) as client:
        answer = client.get(f"https://127.0.0.1:{secure.port}/docs")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_old_protocols_and_plain_http_are_refused(secure: Ingress, trusting: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        serial(secure.port, trusting)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{secure.port}/", trust_env=False)


def test_certificate_changes_under_load_without_a_lost_request(
    secure: Ingress, trusting: ssl.SSLContext, authority: Authority, files: tuple[Path, Path], tmp_path: Path
) -> None:
    reload = CertificateReload(secure.directory, *files)
    assert not reload.refresh()
    first = serial(secure.port, trusting)
    stop, failed, done = threading.Event(), list[Exception](), [0, 0]

    def load(keep: bool) -> None:
        url = f"https://127.0.0.1:{secure.port}{ROUTE}/predict"
        with httpx.Client(verify=trusting, trust_env=False, timeout=30) as client:
            headers = {} if keep else {"Connection": "close"}
            while not stop.is_set():
                try:
                    client.post(url, content=b"{}", headers=headers).raise_for_status()
                    done[keep] += 1
                except httpx.HTTPError as error:
                    failed.append(error)

    threads = [threading.Thread(target=load, args=(keep,)) for keep in (True, False, False)]
    for thread in threads:
        thread.start()
    serials = {first}
    for _ in range(5):
        authority.issue(tmp_path)
        assert reload.refresh()
        serials.add(serial(secure.port, trusting))
        before = sum(done)
        while sum(done) < before + 20 and not failed:
            stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(serials) == 6
    # Also a process that Ray Serve starts later has the last one.
    secure.reload()
    assert serial(secure.port, trusting) in serials - {first}


def test_unusable_certificate_leaves_the_present_one(
    secure: Ingress, trusting: ssl.SSLContext, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reload = CertificateReload(secure.directory, *files)
    first = serial(secure.port, trusting)
    Authority.make().issue(tmp_path, name="other")
    (tmp_path / "other.key").replace(files[1])
    assert not reload.refresh()
    assert "is not the key of" in caplog.text
    assert serial(secure.port, trusting) == first


def test_keys_are_asked_for_over_tls(files: tuple[Path, Path], trusting: ssl.SSLContext) -> None:
    token, now = new_token(), datetime.now(UTC)
    key = AccessKey(token.key_id, token.sha256, "ann", Role.VIEWER, "red", (), now, "admin")
    guard = Guard(frozenset(LOOPBACK_NAMES))
    with running_ingress(guard, pem=read_certificate(*files).pem, asks_for_keys=True, hsts_seconds=1000) as running:
        KeyMaps(running.directory).put([key], {"churn": "red"}, now)
        url = f"https://127.0.0.1:{running.port}"
        with httpx.Client(verify=trusting, trust_env=False, base_url=url) as client:
            for sent, status in (
                ({}, 401),
                ({"Authorization": "Bearer wrong"}, 401),
                ({"Authorization": f"Bearer {token.text}"}, 200),
                ({"Cookie": f"raylift_session={token.text}"}, 401),
                ({"Cookie": f"raylift_session={token.text}", "Origin": url}, 200),
            ):
                assert client.post(f"{ROUTE}/predict", content=b"{}", headers=sent).status_code == status, sent
            assert client.get("/mlflow/", headers={"Cookie": f"raylift_session={token.text}"}).status_code == 200

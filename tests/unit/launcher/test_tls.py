"""TLS of the API: its settings, the listeners in HAProxy's configuration, and the addresses of the record."""

from __future__ import annotations

import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.ingress import haproxy, tls
from raylift.ingress.guard import Guard
from raylift.ingress.spec import IngressSpec, Tls
from raylift.ingress.tls import CertificateUnusable, pem_file, read_certificate, replace_pem, write_pem
from raylift.launcher.nodes.join import HeadUnreachable, JoinRefused, fetch_document
from raylift.launcher.run.config import load_config
from raylift.launcher.run.ports import PlatformPorts
from raylift.launcher.startup import new_record, platform_settings
from tests.certificates import Authority

PORTS = PlatformPorts(gateway=8443, ray_dashboard=1, mlflow=2, block=20000, grpc=8444)


def test_relative_files_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {"gateway": {"tls": {"cert": "a.pem", "key": "~/a.key"}}})
    assert config.gateway.tls.cert == tmp_path / "a.pem"
    assert config.gateway.tls.key == Path("~/a.key").expanduser()
    assert load_config().gateway.tls.cert is None


def test_platform_calls_itself_without_tls(tmp_path: Path) -> None:
    gateway = {"tls": {"cert": "a.pem"}, "allowed_hosts": ["*", "raylift.example"]}
    config = load_config(None, {"host": "0.0.0.0", "gateway": gateway})
    record = new_record(tmp_path, config, PORTS)
    assert record.url == "https://raylift.example:8443"
    assert record.urls()["grpc"] == "raylift.example:8444"
    assert record.gateway_url == "http://127.0.0.1:20015"
    settings = platform_settings(config, record, {})
    assert settings.gateway_url == "http://127.0.0.1:20015"
    named = load_config(None, {"host": "10.0.0.7", "gateway": {"tls": {"cert": "a.pem"}}})
    record = new_record(tmp_path, named, PORTS)
    assert record.url == "https://10.0.0.7:8443"
    assert platform_settings(named, record, {}).gateway.allowed_hosts == ("10.0.0.7",)


def test_api_listens_with_tls_and_the_platform_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")
    certificate = read_certificate(*Authority.make().issue(tmp_path))
    files = haproxy.IngressFiles(tmp_path)
    tls = Tls(certificate.pem, plain_port=20015, hsts_seconds=5)
    files.write(IngressSpec(8443, "secret", Guard(frozenset({"localhost"})), tls=tls), host="0.0.0.0")
    config = tmp_path / "c.cfg"
    config.write_text("frontend http_frontend\n    bind 127.0.0.1:8443\n    acl x path /\n")
    subprocess.run([files.wrapper, "-f", config], check=True)
    lines = [line.strip() for line in config.read_text().splitlines()]
    pem = tmp_path / "h" / "tls.pem"
    assert lines[1:3] == [f"bind *:8443 ssl crt {pem} alpn h2,http/1.1 ssl-min-ver TLSv1.2", "bind 127.0.0.1:20015"]
    assert pem.stat().st_mode & 0o777 == 0o600
    assert any("max-age=5" in line for line in lines)


def test_certificate_and_key_may_be_in_one_file(tmp_path: Path) -> None:
    certificate, key = Authority.make().issue(tmp_path, "a.example", "10.0.0.7")
    both = tmp_path / "both.pem"
    both.write_bytes(b"a comment\n\n" + key.read_bytes() + b"\n\n" + certificate.read_bytes())
    read = read_certificate(both, None)
    assert read.names == ("a.example", "10.0.0.7")
    assert "\n\n" not in read.pem
    assert read.pem == read_certificate(certificate, key).pem


@pytest.mark.parametrize("content", [b"", b"no PEM", None])
def test_unusable_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    certificate, key = Authority.make().issue(tmp_path)
    if content is None:
        certificate.unlink()
    else:
        certificate.write_bytes(content)
    with pytest.raises(CertificateUnusable, match="cannot be read as PEM"):
        read_certificate(certificate, key)


def test_authority_that_is_not_trusted_is_no_silence(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority.make().issue(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(JoinRefused, match="RAYLIFT_CA") as refused:
            fetch_document(f"https://127.0.0.1:{server.server_port}", "rlj_x")
        assert not isinstance(refused.value, HeadUnreachable)
        server.shutdown()
        thread.join()


def test_certificate_that_haproxy_did_not_take_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pem(tmp_path, "old")
    answers = ["", "a busy process", "", "", "Success!"]
    monkeypatch.setattr(tls, "runtime_sockets", lambda _: [tmp_path / "socket"])
    monkeypatch.setattr(tls, "ask", lambda *_: answers.pop(0))
    with pytest.raises(EngineUnavailable, match="a busy process"):
        replace_pem(tmp_path, "new")
    assert pem_file(tmp_path).read_text() == "old"
    assert replace_pem(tmp_path, "new")
    assert pem_file(tmp_path).read_text() == "new"
    assert not replace_pem(tmp_path, "new")

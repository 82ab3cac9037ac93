"""Requests to real receivers in this process: what is asked, what is refused, and how long an attempt may last."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from raylift.access_settings import WebhookSettings
from raylift.domain.webhooks.delivery import Delivery, DeliveryStatus
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget
from raylift.engines.webhooks.http_sender import HttpSender
from raylift.engines.webhooks.outlet import Outlet
from tests.certificates import Authority
from tests.webhook_receiver import Received, Receiver, receiver, reply

LOOPBACK = WebhookSettings.model_validate({"allowed_networks": ["127.0.0.0/8"], "timeout_seconds": 5})
NOTHING = WebhookSettings()
AT = datetime(2026, 3, 1, tzinfo=UTC)
APPRISE = Webhook("webhook_1", "h", "default", WebhookFormat.APPRISE, "x", EventFilter(), AT, "anna", AT, "anna")
DELIVERY = Delivery(
    1, "msg_1", "webhook_1", "job.failed", "default", "job_1", AT, {"message": "It broke."}, DeliveryStatus.PENDING,
    due_at=AT, retried_since=AT,
)  # fmt: skip


def test_request_arrives_as_it_was_given() -> None:
    with receiver() as found:
        answer = HttpSender(LOOPBACK).post(f"{found.url}?a=1", {"Content-Type": "application/json", "X-A": "b"}, b"{}")
    (got,) = found.requests
    assert (answer.status_code, answer.error, answer.text) == (200, None, "thanks")
    assert (got.path, got.body, got.headers["x-a"]) == ("/hook?a=1", b"{}", "b")
    assert got.headers["host"] == f"127.0.0.1:{found.port}"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_loopback_is_refused_in_every_form(host: str, scheme: str) -> None:
    with receiver() as found:
        answer = HttpSender(NOTHING).post(f"{scheme}://{host}:{found.port}/hook", {}, b"{}")
    assert found.requests == []
    assert answer.status_code is None
    # httpx does not take the octal form; the system's resolver would.
    assert ("webhooks.allowed_networks" if host != "0177.0.0.1" else "Invalid IPv4") in (answer.error or "")


def test_name_is_resolved_once_and_its_checked_address_is_asked(tmp_path: Path) -> None:
    """DNS rebinding: a second lookup would lead elsewhere."""
    authority, asked = Authority.make(), list[str]()
    certificate = authority.issue(tmp_path, "hooks.example.com")
    settings = LOOPBACK.model_copy(update={"ca_file": authority.write(tmp_path / "ca.pem")})

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with receiver(certificate=certificate) as found:
        answer = HttpSender(settings, resolve).post(f"https://hooks.example.com:{found.port}/hook", {}, b"{}")
    # The certificate is checked for the name, and Host has the name, although an address was dialled.
    assert (answer.status_code, asked) == (200, ["hooks.example.com"])
    assert found.requests[0].headers["host"] == f"hooks.example.com:{found.port}"


def test_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority.make()
    certificate = authority.issue(tmp_path, "other.example.com")
    settings = LOOPBACK.model_copy(update={"ca_file": authority.write(tmp_path / "ca.pem")})
    with receiver(certificate=certificate) as found:
        sender = HttpSender(settings, lambda *_: ["127.0.0.1"])
        answer = sender.post(f"https://hooks.example.com:{found.port}/hook", {}, b"{}")
    assert found.requests == []
    assert "certificate" in (answer.error or "").lower()


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a00:1"])
def test_name_with_any_inner_address_is_refused(address: str) -> None:
    answer = HttpSender(NOTHING, lambda *_: ["93.184.216.34", address]).post("https://hooks.example.com/", {}, b"{}")
    assert f"hooks.example.com is {address}" in (answer.error or "")


def test_public_address_needs_https() -> None:
    answer = HttpSender(NOTHING, lambda *_: ["93.184.216.34"]).post("http://hooks.example.com/", {}, b"{}")
    assert "need https" in (answer.error or "")


def test_redirect_is_not_followed() -> None:
    with receiver() as inner, receiver() as outer:
        outer.answer = lambda handler, _: reply(handler, 307, Location=inner.url)
        answer = HttpSender(LOOPBACK).post(outer.url, {}, b"{}")
    assert (len(outer.requests), inner.requests) == (1, [])
    assert answer.status_code == 307
    assert "redirects are not followed" in (answer.error or "")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as found:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert HttpSender(LOOPBACK).post(found.url, {}, b"{}").error is None
    assert (len(found.requests), proxy.requests) == (1, [])


def test_failure_keeps_the_answer_and_retry_after() -> None:
    with receiver(lambda handler, _: reply(handler, 503, b"x" * 100_000, Retry_After="30")) as found:
        answer = HttpSender(LOOPBACK).post(found.url, {}, b"{}")
    assert (answer.status_code, answer.retry_after_seconds) == (503, 30.0)
    assert set(answer.text or "") == {"x"}
    assert len(answer.text or "") <= 8000


def test_receiver_that_does_not_listen_is_an_error() -> None:
    with receiver() as found:
        pass
    answer = HttpSender(LOOPBACK).post(found.url, {}, b"{}")
    assert (answer.status_code, (answer.error or "")[:13]) == (None, "No connection")
    missing = HttpSender(LOOPBACK).post("https://no-such-host.invalid/", {}, b"{}")
    assert "no-such-host.invalid has no address" in (missing.error or "")


def test_receiver_that_sends_single_bytes_is_given_up() -> None:
    ended = threading.Event()

    def drip(handler: BaseHTTPRequestHandler, _: Received) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not ended.wait(0.05):
                handler.wfile.write(b".")
        except OSError:
            return

    settings = LOOPBACK.model_copy(update={"timeout_seconds": 0.5})
    with receiver(drip) as found:
        answer = HttpSender(settings).post(found.url, {}, b"{}")
        ended.set()
    assert answer.error == "No answer within 0.5 s."


def test_receiver_that_never_answers_is_given_up() -> None:
    settings = LOOPBACK.model_copy(update={"timeout_seconds": 0.3})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = HttpSender(settings).post(f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, b"{}")
    assert answer.error == "No answer within 0.3 s."


_LOADING = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Apprise loads all of its plugins, some of which import deprecated modules."""


def _people(found: Receiver, *services: str) -> str | None:
    settings = LOOPBACK.model_copy(update={"apprise_services": services})
    target = WebhookTarget(f"json://127.0.0.1:{found.port}/hook")
    return Outlet(settings, HttpSender(settings)).send(APPRISE, target, DELIVERY, AT).error


@_LOADING
def test_apprise_tells_people() -> None:
    with receiver() as found:
        assert _people(found, "json") is None
    assert b"job.failed job_1" in found.requests[0].body
    assert b"It broke." in found.requests[0].body


@_LOADING
def test_apprise_takes_listed_services_only() -> None:
    with receiver() as found:
        assert "webhooks.apprise_services" in (_people(found, "slack") or "")
        assert found.requests == []
        found.answer = lambda handler, _: reply(handler, 500)
        assert "did not take the message" in (_people(found, "json") or "")


@_LOADING
def test_apprise_names_an_address_it_does_not_understand() -> None:
    settings = LOOPBACK.model_copy(update={"apprise_services": ("slack",)})
    outlet = Outlet(settings, HttpSender(settings))
    answer = outlet.send(replace(APPRISE), WebhookTarget("slack://"), DELIVERY, AT)
    assert answer.error == "Apprise does not understand the address."

"""Unusual requests: in pieces, without an end, several at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.ingress.conftest import INFERENCE, PLAIN, TOKEN, Ingress
from tests.integration.ingress.raw_http import Raw, post

FORWARDED = ("X-Raylift-Forwarded: 1", f"X-Raylift-Ingress: {TOKEN}")


@pytest.fixture
def raw(ingress: Ingress) -> Iterator[Raw]:
    connection = Raw(ingress.port)
    yield connection
    connection.close()


def test_chunked_bodies_reach_the_gateway_whole(raw: Raw) -> None:
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (PLAIN[:10], PLAIN[10:], b""))
    raw.send(post(INFERENCE, pieces, "Transfer-Encoding: chunked"))
    _, told = raw.answer()
    assert (told["who"], told["body"]) == ("gateway", PLAIN.decode())


def test_requests_on_one_connection_are_routed_one_by_one(raw: Raw) -> None:
    bodies = [PLAIN, PLAIN.replace(b"churn", b"other"), PLAIN]
    raw.send(b"".join(post(INFERENCE, body) for body in bodies))
    answers = [raw.answer()[1] for _ in bodies]
    assert [told["who"] for told in answers] == ["replica", "gateway", "replica"]
    assert [told["body"].encode() for told in answers] == bodies
    assert ["x-raylift-named" in told["headers"] for told in answers] == [True, False, True]


def test_client_that_expects_100_continue_gets_it(raw: Raw) -> None:
    raw.send(post(INFERENCE, PLAIN, "Expect: 100-continue")[: -len(PLAIN)])
    assert raw.answer() == (100, {})
    raw.send(PLAIN)
    assert raw.answer()[1]["who"] == "replica"


@pytest.mark.parametrize(
    ("headers", "is_traced"),
    [
        ((), False),
        (("X-Request-ID: mine",), True),
        (("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",), True),
        (("X-Raylift-Traced: 1",), False),
        # Forwarded by the gateway, which sets a missing id.
        ((*FORWARDED, "X-Request-ID: given"), False),
        ((*FORWARDED, "X-Request-ID: mine", "X-Raylift-Traced: 1"), True),
        (("X-Raylift-Forwarded: 1", "X-Request-ID: mine"), True),  # Only the gateway can set this.
    ],
)
def test_requests_with_an_id_of_the_client_are_marked(raw: Raw, headers: tuple[str, ...], is_traced: bool) -> None:
    raw.send(post(INFERENCE, PLAIN, *headers))
    assert ("x-raylift-traced" in raw.answer()[1]["headers"]) == is_traced


def test_http_1_0_request_is_answered(raw: Raw) -> None:
    raw.send(post(INFERENCE, PLAIN, version="1.0"))
    assert raw.answer()[1]["who"] == "replica"


def test_body_in_small_pieces_is_read_whole(raw: Raw) -> None:
    request = post(INFERENCE, PLAIN)
    for start in range(0, len(request), 7):
        raw.send(request[start : start + 7])
    assert raw.answer()[1]["who"] == "replica"


@pytest.mark.timeout(60)
def test_body_that_never_ends_is_refused(raw: Raw) -> None:
    raw.send(post(INFERENCE, PLAIN)[:-5])
    status, told = raw.answer()
    assert (status, told["code"]) == (408, "body_late")

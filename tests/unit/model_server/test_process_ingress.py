"""Requests at a replica's port, in the process of its model: slots, queue, counts for Serve, ids, and Serve's own pages."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

import pytest

from job_entrypoints.sandbox.model_process import PAGE_BYTES
from raylift.api.headers import INGRESS, PREDICTION_ID
from raylift.ingress.access_token import Receive, Scope, Send
from serve_apps.model_server.process import page as page_module
from serve_apps.model_server.process.ingress import ForwardedRequests, Ingress, PageAnswer
from serve_apps.model_server.process.page import CountPage
from serve_apps.model_server.process.slots import UNLIMITED, Slots

_ROUTE = "/v2/models/m/versions/7"


class Client:
    """A request and what is answered."""

    def __init__(self, headers: Mapping[str, str], scope: Mapping[str, Any]) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.scope = {"type": "http", "method": "POST", "path": f"{_ROUTE}/predict", "headers": raw, **scope}
        self.answer: list[Any] = []
        self._sent = deque([{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}])
        self._gone = asyncio.Event()

    def leave(self) -> None:
        self._gone.set()

    async def receive(self) -> Any:
        if self._sent:
            return self._sent.popleft()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int | None:
        return self.answer[0]["status"] if self.answer else None

    def headers(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.answer[0]["headers"] if key == name]


class Rig:
    """The port of a process whose application holds requests until it is let go."""

    def __init__(self, slots: int = 2, queue: int = UNLIMITED, token: str | None = None) -> None:
        descriptor = os.memfd_create("counts")
        os.ftruncate(descriptor, PAGE_BYTES)
        self.page = CountPage(descriptor)
        self.slots = Slots(slots, queue)
        self.bodies: list[bytes] = []
        self.working = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = Ingress(self._app, [f"{_ROUTE}/predict"], self.slots, self.page, self._page, token)
        self.forwarded = ForwardedRequests(self._app, self.slots, token)

    async def _page(self, path: str) -> PageAnswer:
        return PageAnswer(503, [(b"content-type", b"text/plain")], f"DRAINING {path}".encode())

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.working += 1
        try:
            body = b""
            while (message := await receive())["type"] == "http.request":
                body += message["body"]
                if not message.get("more_body"):
                    break
            await self.hold.wait()
        finally:
            self.working -= 1
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(self, headers: Mapping[str, str] | None = None, *, forwarded: bool = False, **scope: Any) -> Client:
        client = Client(headers or {}, scope)
        app = self.forwarded if forwarded else self.port
        client.done = asyncio.ensure_future(app(client.scope, client.receive, client.send))  # type: ignore[attr-defined]
        return client

    async def answered(self, headers: Mapping[str, str] | None = None, **more: Any) -> Client:
        client = self.ask(headers, **more)
        await client.done  # type: ignore[attr-defined]
        return client

    @property
    def ongoing(self) -> int:
        return int(self.page.ongoing())


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_take_slots_and_are_counted() -> None:
    rig = Rig(slots=2)
    rig.hold.clear()
    asked = [rig.ask() for _ in range(3)]
    await turns()
    assert (rig.working, rig.ongoing, rig.slots.held) == (2, 2, 1)
    rig.hold.set()
    await turns()
    assert [client.status for client in asked] == [200] * 3
    assert rig.bodies == [b"ab"] * 3
    assert (rig.ongoing, rig.slots.held) == (0, 0)


async def test_request_leaves_in_the_next_turn_of_the_loop() -> None:
    """So the replica sees how many quick requests came together."""
    rig = Rig(slots=1)
    await rig.answered()
    await turns()
    assert rig.ongoing == 0
    seen: list[int] = []
    client = rig.ask()
    client.done.add_done_callback(lambda _: seen.append(rig.ongoing))  # type: ignore[attr-defined]
    for _ in range(4):
        await turns()
    assert rig.ongoing == 0
    assert (await rig.answered()).status == 200


async def test_requests_that_come_together_see_each_other_in_the_queue() -> None:
    rig = Rig(slots=2, queue=1)
    rig.hold.clear()
    asked = [rig.ask() for _ in range(5)]
    await turns()
    assert [client.status for client in asked] == [None, None, None, 429, 429]
    rig.hold.set()
    await turns()
    assert [client.status for client in asked] == [200, 200, 200, 429, 429]


async def test_full_queue_is_refused_as_serve_refuses() -> None:
    rig = Rig(slots=1, queue=1)
    rig.hold.clear()
    first, second = rig.ask(), rig.ask()
    await turns()
    refused = await rig.answered()
    assert (refused.status, refused.headers(b"retry-after")) == (429, [b"1"])
    assert refused.headers(b"content-type") == [b"text/plain; charset=utf-8"]
    assert refused.answer[1]["body"] == b"Request dropped due to backpressure"
    rig.hold.set()
    await turns()
    assert (first.status, second.status) == (200, 200)


async def test_client_that_leaves_while_it_waits_is_not_answered() -> None:
    rig = Rig(slots=1)
    rig.hold.clear()
    first, second, third = rig.ask(), rig.ask(), rig.ask()
    await turns()
    second.leave()
    await turns()
    assert rig.slots.held == 1
    rig.hold.set()
    await turns()
    assert (first.status, second.status, third.status) == (200, None, 200)
    assert len(rig.bodies) == 2
    assert (await rig.answered()).status == 200


async def test_cancelled_request_frees_its_slot() -> None:
    rig = Rig(slots=1)
    rig.hold.clear()
    first, second = rig.ask(), rig.ask()
    await turns()
    for client in (second, first):
        client.done.cancel()  # type: ignore[attr-defined]
    await turns()
    assert (rig.ongoing, rig.slots.held, rig.slots.take()) == (0, 0, True)


async def test_dropped_work_of_a_client_that_left_is_no_error() -> None:
    rig = Rig(slots=1)

    async def dropping(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    rig.port._app = dropping
    await rig.answered()
    await turns()
    assert (rig.ongoing, rig.slots.take()) == (0, True)


async def test_changed_limits_let_waiting_requests_in() -> None:
    rig = Rig(slots=1)
    rig.hold.clear()
    asked = [rig.ask() for _ in range(3)]
    await turns()
    rig.slots.set_limits(3, UNLIMITED)
    await turns()
    assert rig.working == 3
    rig.hold.set()
    await turns()
    assert [client.status for client in asked] == [200] * 3


async def test_forwarded_requests_share_the_slots_and_are_not_counted_twice() -> None:
    rig = Rig(slots=1, queue=0)
    rig.hold.clear()
    first, second = rig.ask(forwarded=True), rig.ask(forwarded=True)
    await turns()
    assert (rig.working, rig.ongoing, rig.slots.held) == (1, 0, 1)
    rig.hold.set()
    await turns()
    assert (first.status, second.status) == (200, 200)
    assert first.headers(b"x-request-id") == []  # Serve adds it.


async def test_request_id_is_returned_or_made() -> None:
    rig = Rig()
    ids = [
        (await rig.answered(headers)).headers(b"x-request-id")
        for headers in (
            {"x-request-id": "mine"},
            {PREDICTION_ID: "ingress"},
            {PREDICTION_ID: "ingress", "x-request-id": "mine"},
            {},
            {},
        )
    ]
    assert ids[:3] == [[b"mine"], [b"ingress"], [b"mine"]]
    assert ids[3] != ids[4]
    assert len(ids[3][0]) == 36


async def test_requests_without_the_token_get_serve_s_pages_only() -> None:
    rig = Rig(token="t")
    assert (await rig.answered()).status == 403
    assert (await rig.answered(forwarded=True)).status == 403
    assert (await rig.answered({INGRESS: "t"})).status == 200
    page = await rig.answered(path="/-/healthz", method="GET")
    assert (page.status, page.answer[1]["body"]) == (503, b"DRAINING /-/healthz")


async def test_recent_predictions_count_as_a_tiny_part_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    await rig.answered(path=f"{_ROUTE}/ready", method="GET")
    await turns()
    assert rig.page.ongoing() == 0
    await rig.answered()
    await turns()
    assert 0 < rig.page.ongoing() < 1e-3
    monkeypatch.setattr(page_module, "_RECENT_SECONDS", 0.0)
    assert rig.page.ongoing() == 0


@pytest.mark.parametrize("written", [float("nan"), float("inf"), -5.0, 1e300])
async def test_nonsense_in_the_page_counts_as_nothing(written: float) -> None:
    """The model's own code may write it."""
    rig = Rig()
    rig.page._values[0] = written
    rig.page._values[1] = written
    assert rig.page.ongoing() == 0

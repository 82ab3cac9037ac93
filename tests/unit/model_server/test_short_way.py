"""Requests that bypass Ray Serve's queue, and the metrics that Serve gets of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from raylift.api.headers import PREDICTION_ID
from raylift.ingress.access_token import App, Receive, Scope, Send
from raylift.ray_internals.serve_bypass import ReplicaBehind, ServeBypass, replica_behind

_ROUTE = "/v2/models/m/versions/7"
_SMALL = {"content-length": "20"}


class Metrics:
    """Fake of Serve's metrics manager."""

    def __init__(self) -> None:
        self.ongoing = 0.0
        self.recorded: list[str] = []
        self.nothing_left = asyncio.Event()

    def inc_num_ongoing_requests(self, request: Any) -> None:
        self.ongoing += 1

    def dec_num_ongoing_requests(self, request: Any) -> None:
        self.ongoing -= 1

    def _change_num_ongoing_requests(self, request: Any, delta: float) -> None:
        self.ongoing += delta
        if not self.ongoing:
            self.nothing_left.set()

    def record_request_metrics(self, *, route: str, latency_ms: float, is_error: bool) -> None:
        assert latency_ms >= 0
        assert not is_error
        self.recorded.append(route)


class Rig:
    """The bypass between an application and a Serve that both only record requests."""

    def __init__(self, places: int = 2, *, is_quick: bool = True) -> None:
        self.metrics = Metrics()
        self.places = asyncio.Semaphore(places)
        self.came: list[str] = []
        self.is_quick = is_quick
        self.ongoing_meanwhile: list[float] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.way = ServeBypass(self._noting("serve"), lambda _: self._replica())

    def _replica(self) -> ReplicaBehind:
        paths = frozenset({f"{_ROUTE}/predict"})
        return ReplicaBehind(self._noting("app"), _ROUTE, paths, self.is_quick, 100, self.places, self.metrics, None)

    def _noting(self, name: str) -> App:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.came.append(name)
            self.ongoing_meanwhile.append(int(self.metrics.ongoing))
            await self.hold.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return app

    async def ask(self, headers: Mapping[str, str] = _SMALL, **scope: Any) -> list[tuple[bytes, bytes]]:
        """The headers of the answer."""
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        answer: list[tuple[bytes, bytes]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            answer.extend(message.get("headers", []))

        asked = {"type": "http", "method": "POST", "path": f"{_ROUTE}/predict", "headers": raw} | scope
        await self.way(asked, receive, send)
        return answer


async def test_small_prediction_bypasses_serve_and_is_counted() -> None:
    rig = Rig()
    await rig.ask()
    assert rig.came == ["app"]
    assert rig.ongoing_meanwhile == [1]
    assert rig.metrics.recorded == [_ROUTE]


@pytest.mark.parametrize(
    ("headers", "scope"),
    [
        ({"content-length": "101"}, {}),
        ({"transfer-encoding": "chunked"}, {}),
        ({"content-length": "-1"}, {}),
        ({**_SMALL, "x-request-timeout-seconds": "3"}, {}),
        (_SMALL, {"method": "GET"}),
        (_SMALL, {"path": f"{_ROUTE}/ready"}),
        (_SMALL, {"path": "/-/healthz"}),
        ({}, {"type": "websocket"}),
    ],
)
async def test_other_requests_go_through_serve(headers: dict[str, str], scope: dict[str, Any]) -> None:
    rig = Rig()
    await rig.ask(headers, **scope)
    assert rig.came == ["serve"]
    assert rig.metrics.recorded == []


async def test_request_without_a_free_slot_queues_in_serve() -> None:
    rig = Rig(places=1)
    rig.hold.clear()
    first = asyncio.ensure_future(rig.ask())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(rig.ask())
    await asyncio.sleep(0)
    assert rig.came == ["app", "serve"]
    rig.hold.set()
    await asyncio.gather(first, second)


async def test_request_ends_in_the_next_turn_of_the_loop() -> None:
    rig = Rig()
    await rig.ask()
    assert (int(rig.metrics.ongoing), rig.places.locked()) == (1, False)
    await asyncio.sleep(0)
    assert int(rig.metrics.ongoing) == 0
    for _ in range(3):
        await rig.ask()
        await asyncio.sleep(0)
    assert rig.came == ["app"] * 4


async def test_request_of_a_disconnected_client_frees_its_slot() -> None:
    rig = Rig(places=1)
    rig.hold.clear()
    asked = asyncio.ensure_future(rig.ask())
    await asyncio.sleep(0)
    assert rig.places.locked()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0)
    assert not rig.places.locked()
    assert int(rig.metrics.ongoing) == 0


async def test_request_id_is_returned_or_made() -> None:
    rig = Rig(places=5)
    assert await rig.ask({**_SMALL, "x-request-id": "mine"}) == [(b"x-request-id", b"mine")]
    assert await rig.ask({**_SMALL, PREDICTION_ID.lower(): "ingress"}) == [(b"x-request-id", b"ingress")]
    both = {**_SMALL, PREDICTION_ID.lower(): "ingress", "x-request-id": "mine"}
    assert await rig.ask(both) == [(b"x-request-id", b"mine")]
    ((name, made),) = await rig.ask()
    ((_, other),) = await rig.ask()
    assert name == b"x-request-id"
    assert made != other
    assert len(made) == 36


@pytest.mark.parametrize("is_quick", [True, False])
async def test_recent_requests_count_as_ongoing(monkeypatch: pytest.MonkeyPatch, *, is_quick: bool) -> None:
    """Serve's autoscaling sees a request on both ways, and later sees exactly none."""
    monkeypatch.setattr("raylift.ray_internals.serve_bypass._RECENT_SECONDS", 0.0)
    rig = Rig(is_quick=is_quick)
    for _ in range(2):
        await rig.ask()
    await asyncio.sleep(0)
    assert rig.came == ["app" if is_quick else "serve"] * 2
    assert 0 < rig.metrics.ongoing < 1e-3
    await asyncio.wait_for(rig.metrics.nothing_left.wait(), 30)
    await rig.ask(path="/-/healthz")
    assert rig.metrics.ongoing == 0


async def test_process_without_a_quick_model_passes_all_requests_on() -> None:
    came: list[str] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope["path"])

    way: Any = ServeBypass(serve)
    await way({"type": "http", "method": "POST", "path": "/x", "headers": []}, None, None)
    assert came == ["/x"]


def test_unknown_release_of_ray_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Unknown:
        """A Serve replica without a semaphore."""

        _user_callable_wrapper = SimpleNamespace(
            user_callable=SimpleNamespace(
                app=None, replica_app=SimpleNamespace(prediction_paths=frozenset({"/x"}), is_quick=True, route="/")
            )
        )

        async def answer(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    middleware: Any = SimpleNamespace(_app=Unknown().answer)
    assert replica_behind(middleware) is None
    assert "cannot bypass it" in caplog.text

"""Streams that are open when their caller's key ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.access import LOCAL
from raylift.domain.errors import Unauthenticated
from raylift.settings import PlatformSettings
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

UPLOAD = {"script_content": "print(1)", "experiment_name": "demo"}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as platform:
        yield platform


@pytest.fixture
async def job_id(keyed: KeyedPlatform) -> str:
    made = (await keyed.send("submitter", "POST", "/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    keyed.platform.start(made, b"one\n")
    return made


async def revoke(keyed: KeyedPlatform, who: str) -> None:
    key_id = keyed.tokens[who].split("_")[1]
    assert (await keyed.send("admin", "DELETE", f"/mlops/keys/{key_id}")).status_code == 200


async def test_followed_log_ends_with_the_reason(keyed: KeyedPlatform, job_id: str) -> None:
    path = f"/mlops/training/jobs/{job_id}/logs?follow=true"
    followed = asyncio.create_task(keyed.send("viewer", "GET", path))
    others = asyncio.create_task(keyed.send("submitter", "GET", path))
    await asyncio.sleep(0.3)
    await revoke(keyed, "viewer")
    key_id = keyed.tokens["viewer"].split("_")[1]
    text = (await asyncio.wait_for(followed, 30)).text
    assert text.startswith("id: 4\ndata: one\n\n")
    last = text.split("\n\n")[-2]
    assert last.startswith("event: refused\n")
    assert f"The key {key_id} was revoked." in last
    keyed.platform.print(job_id, b"two\n")
    keyed.platform.finish(job_id)
    assert "two" in (await asyncio.wait_for(others, 30)).text


async def test_websocket_of_a_log_ends_with_the_reason(keyed: KeyedPlatform, job_id: str) -> None:
    path = f"/api/jobs/{job_id}/logs/tail"
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {keyed.tokens['viewer']}".encode())],
        "client": ("127.0.0.1", 1),
        "extensions": {},
        "subprotocols": [],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("text") == "one\n":
            await revoke(keyed, "viewer")

    await asyncio.wait_for(keyed.app(scope, receive, send), 30)
    *_, told, closed = sent
    assert "was revoked" in told["text"]
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


async def test_check_refuses_what_has_expired(keyed: KeyedPlatform) -> None:
    callers = keyed.platform.services.callers
    viewer = await callers.principal_of(keyed.tokens["viewer"])
    await callers.check(viewer)
    await callers.check(LOCAL)
    for key_id, why in ((keyed.tokens["expired"].split("_")[1], "has expired"), ("00000000", "was revoked")):
        with pytest.raises(Unauthenticated, match=why):
            await callers.check(replace(viewer, key_id=key_id))

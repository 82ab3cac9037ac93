from __future__ import annotations

import asyncio
import threading

import pytest

from raylift.domain.errors import EngineUnavailable, ModelNotFound
from raylift.services.ttl_cache import TtlCache


class Source:
    def __init__(self) -> None:
        self.asked = 0
        self.fails: Exception | None = None
        self.gate: threading.Event | None = None

    def __call__(self, key: str) -> str:
        self.asked += 1
        if self.gate:
            self.gate.wait(10)
        if self.fails:
            raise self.fails
        return f"{key}{self.asked}"


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def fresh(source: Source, now: list[float]) -> TtlCache[str, str]:
    return TtlCache(source, seconds=1, stale_seconds=60, monotonic=lambda: now[0])


async def test_value_is_cached_until_it_expires(fresh: TtlCache[str, str], source: Source, now: list[float]) -> None:
    assert [await fresh.get("a"), await fresh.get("a"), await fresh.get("b")] == ["a1", "a1", "b2"]
    now[0] += 0.5
    assert await fresh.get("a") == "a1"
    assert await fresh.get("a", max_age=0.1) == "a3"
    now[0] += 1.1
    assert await fresh.get("a") == "a4"


async def test_one_lookup_serves_all_waiting_callers(fresh: TtlCache[str, str], source: Source) -> None:
    source.gate = threading.Event()
    waiting = [asyncio.create_task(fresh.get("a")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    source.gate.set()
    assert set(await asyncio.gather(*waiting[1:])) == {"a1"}
    assert source.asked == 1


async def test_refusal_is_cached(fresh: TtlCache[str, str], source: Source, now: list[float]) -> None:
    source.fails = ModelNotFound("no")
    for _ in range(3):
        with pytest.raises(ModelNotFound):
            await fresh.get("a")
    assert source.asked == 1
    source.fails, now[0] = None, now[0] + 2
    assert await fresh.get("a") == "a2"


async def test_stale_value_is_served_while_the_source_is_down(
    fresh: TtlCache[str, str], source: Source, now: list[float]
) -> None:
    assert await fresh.get("a") == "a1"
    source.fails = EngineUnavailable("away")
    now[0] += 59
    assert await fresh.get("a") == "a1"
    with pytest.raises(EngineUnavailable):
        await fresh.get("b")
    now[0] += 2
    with pytest.raises(EngineUnavailable):
        await fresh.get("a")

from __future__ import annotations

import threading

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.supervisor.tick_timer import TickTimer


def a_moment_after(seconds: float) -> object:
    return pytest.approx(seconds + 0.015, abs=0.016)


class Stop(threading.Event):
    """Waiting only moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return self.is_set()


class Store:
    def __init__(self, written_at: float | None = None, error: Exception | None = None) -> None:
        self.stop = Stop()
        self.written_at = written_at
        self.error = error
        self.timer = TickTimer(0.2, self.was_written_to, lambda: self.stop.now)

    def was_written_to(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.written_at is not None and self.stop.now >= self.written_at

    def wait(self) -> float:
        begun = self.stop.now
        self.timer.wait(self.stop)
        return self.stop.now - begun


def test_write_during_a_pause_starts_a_tick_at_once() -> None:
    store = Store(written_at=0.05)
    store.timer.found(news=False)
    assert store.wait() == a_moment_after(0.05)


def test_many_writes_do_not_add_ticks() -> None:
    store = Store(written_at=0.0)
    store.timer.found(news=True)
    assert store.wait() == a_moment_after(0.2)


def test_ticks_are_regular_without_writes() -> None:
    store = Store()
    store.timer.found(news=False)
    assert store.wait() == a_moment_after(0.2)


def test_failing_tick_is_not_repeated_every_few_milliseconds() -> None:
    store = Store(error=EngineUnavailable("no database"))
    store.timer.found(news=False)
    with pytest.raises(EngineUnavailable):
        store.wait()
    assert store.wait() == a_moment_after(0.2)


def test_stop_ends_the_pause_at_once() -> None:
    store = Store()
    store.stop.set()
    assert store.wait() == a_moment_after(0.0)

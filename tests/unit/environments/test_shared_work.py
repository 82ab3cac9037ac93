"""Work that several callers wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from raylift.engines.environments import shared_work
from raylift.engines.environments.shared_work import SharedWork


class Slow:
    """A task that ends when the test says so, or when no caller waits for it."""

    def __init__(self) -> None:
        self.runs = 0
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, cancelled: Callable[[], bool]) -> str:
        self.runs += 1
        while not self.go_on.wait(0.01):
            if cancelled():
                self.stopped.set()
                raise RuntimeError("stopped")
        return "done"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> SharedWork[str]:
    monkeypatch.setattr(shared_work, "_FIRST_LOOK_SECONDS", 0.0)
    return SharedWork("work")


def _result(work: SharedWork[str], who: str, task: Callable[[Callable[[], bool]], str], pause: threading.Event) -> str:
    while (result := work.ask(who, "key", task)) is None:
        pause.wait(0.01)
    return result


def test_work_is_done_once_for_all_callers(work: SharedWork[str]) -> None:
    slow = Slow()
    assert (work.ask("a", "key", slow), work.ask("b", "key", slow)) == (None, None)
    slow.go_on.set()
    assert (_result(work, "a", slow, slow.go_on), _result(work, "b", slow, slow.go_on)) == ("done", "done")
    assert slow.runs == 1


def test_work_stops_when_its_last_caller_leaves(work: SharedWork[str]) -> None:
    slow = Slow()
    work.ask("a", "key", slow)
    work.ask("b", "key", slow)
    work.leave("a")
    assert not slow.stopped.wait(0.1)
    work.leave("b")
    assert slow.stopped.wait(10)


def test_failure_reaches_all_waiting_callers_and_no_later_one(work: SharedWork[str]) -> None:
    def fail(_: object) -> str:
        raise ValueError("no")

    slow = Slow()
    work.ask("a", "key", slow)
    work.leave("a")
    with pytest.raises(ValueError, match="no"):
        _result(work, "b", fail, slow.go_on)
    slow.go_on.set()
    assert _result(work, "c", slow, slow.go_on) == "done"

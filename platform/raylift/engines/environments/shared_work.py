"""Background work shared by several waiters: runs once, and stops when the last waiter leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

Task = Callable[[Callable[[], bool]], T]
"""Receives a function that returns True after the last waiter has left."""

_FIRST_LOOK_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Piece(Generic[T]):
    waiting: set[str] = field(default_factory=set[str])
    left: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: BaseException | None = None

    def run(self, task: Task[T]) -> None:
        try:
            self.result = task(self.left.is_set)
        except BaseException as error:  # noqa: BLE001 - raised by ask()
            self.error = error
        finally:
            self.done.set()


class SharedWork(Generic[T]):
    """Runs one thread per key. ``name`` is the prefix of their names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces: dict[str, _Piece[Any]] = {}
        self._guard = threading.Lock()

    def ask(self, who: str, key: str, task: Task[T]) -> T | None:
        """Return the result of ``task``, or None while it runs. ``who`` is its waiter until the result or ``leave``.

        Raises:
            Exception: that of the task.
        """
        with self._guard:
            piece = self._pieces.get(key)
            # A result from before this waiter came is not used: its failure may have had a temporary cause.
            is_new = piece is None or (piece.done.is_set() and who not in piece.waiting)
            if piece is None or is_new:
                piece = self._pieces[key] = _Piece()
            piece.waiting.add(who)
        if is_new:
            threading.Thread(target=piece.run, args=(task,), name=f"{self._name}-{key}", daemon=True).start()
            # Most tasks end within this time, so the caller need not come again.
            piece.done.wait(_FIRST_LOOK_SECONDS)
        if not piece.done.is_set():
            return None
        self.leave(who)
        if piece.error is not None:
            raise piece.error
        return piece.result

    def leave(self, who: str) -> None:
        """Stop waiting. Tasks without a waiter are stopped."""
        with self._guard:
            for key, piece in list(self._pieces.items()):
                piece.waiting.discard(who)
                if not piece.waiting:
                    piece.left.set()
                    del self._pieces[key]

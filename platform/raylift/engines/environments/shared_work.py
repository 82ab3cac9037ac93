"""Work in the background that several wait for: done once, and stopped when the last of them leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

Task = Callable[[Callable[[], bool]], T]
"""Gets a function that says whether nobody waits for it any more."""

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
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            self.error = error
        finally:
            self.done.set()


class SharedWork(Generic[T]):
    """Starts a thread for each key that is asked for. ``name`` begins the threads' names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces: dict[str, _Piece[Any]] = {}
        self._guard = threading.Lock()

    def ask(self, who: str, key: str, task: Task[T]) -> T | None:
        """The result of ``task``; None while it goes on. ``who`` waits for it until then, or until ``leave``.

        Raises:
            Exception: that of the task.
        """
        with self._guard:
            piece = self._pieces.get(key)
            # What has ended without us is of before: it may have failed for a reason that is gone.
            is_new = piece is None or (piece.done.is_set() and who not in piece.waiting)
            if piece is None or is_new:
                piece = self._pieces[key] = _Piece()
            piece.waiting.add(who)
        if is_new:
            threading.Thread(target=piece.run, args=(task,), name=f"{self._name}-{key}", daemon=True).start()
            # Most are done soon, and then nobody has to come again.
            piece.done.wait(_FIRST_LOOK_SECONDS)
        if not piece.done.is_set():
            return None
        self.leave(who)
        if piece.error is not None:
            raise piece.error
        return piece.result

    def leave(self, who: str) -> None:
        """Wait for nothing any more. What then nobody waits for is told to stop."""
        with self._guard:
            for key, piece in list(self._pieces.items()):
                piece.waiting.discard(who)
                if not piece.waiting:
                    piece.left.set()
                    del self._pieces[key]

"""Group commit for SQLite, where one writer at a time commits and every commit waits for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")


class _Piece:
    """One thread's work and its result."""

    def __init__(self, work: Callable[[Session], Any]) -> None:
        self.work = work
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class GroupCommit:
    """Commits the work of several waiting threads in one transaction.

    Threads that arrive during a commit form the next group. A single thread commits at once.

    Args:
        write: a transaction that is durable when its block ends, and rolled back when the block raises.
    """

    def __init__(self, write: Callable[[], AbstractContextManager[Session]]) -> None:
        self._write = write
        self._waiting: deque[_Piece] = deque()
        self._turn = Lock()

    def run(self, work: Callable[[Session], T]) -> T:
        """Return the result of ``work`` after it is durable. If ``work`` raises, its changes are rolled back."""
        mine = _Piece(work)
        self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._commit([self._waiting.popleft() for _ in range(len(self._waiting))])
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _commit(self, group: list[_Piece]) -> None:
        try:
            with self._write() as session:
                for piece in group:
                    self._carry_out(piece, session, alone=len(group) == 1)
        except Exception as error:  # noqa: BLE001 (raised in every thread of the group)
            for piece in group:
                piece.error = piece.error or error
        finally:
            for piece in group:
                piece.done = True

    def _carry_out(self, piece: _Piece, session: Session, *, alone: bool) -> None:
        if alone:
            piece.result = piece.work(session)
            return
        try:
            with session.begin_nested():
                piece.result = piece.work(session)
        except Exception as error:  # noqa: BLE001 (raised in its own thread; the savepoint is rolled back)
            piece.error = error

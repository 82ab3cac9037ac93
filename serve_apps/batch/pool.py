"""Processes of a batch. Each gets one item after the other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, cast

from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.parts import Part
from serve_apps.batch.places import Place
from serve_apps.batch.plan import Item, Plan
from serve_apps.batch.worker import Progress, Start, work

_WAIT_SECONDS: Final = 0.5

Message = Part | Progress


class Pool:
    def __init__(self, start: Start, folder: Place, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._plan: Plan = start.plan
        self._workers: dict[Connection, SpawnProcess] = {}
        self._at_work: dict[Connection, Item] = {}
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(start, folder, theirs), daemon=True)
            process.start()
            theirs.close()
            self._workers[ours] = process

    def run(self, items: Sequence[Item]) -> Iterator[Message | None]:
        """Yield what the processes send until all items are done; None where nothing comes for a moment.

        Raises:
            BatchFailed: One of them cannot go on, or has ended.
        """
        waiting = iter(items)
        for connection in self._workers:
            self._give(connection, next(waiting, None))
        while self._at_work:
            ready = cast("list[Connection]", wait(list(self._at_work), _WAIT_SECONDS))
            if not ready:
                yield None
            for connection in ready:
                message = self._receive(connection)
                if isinstance(message, BatchFailed):
                    raise message
                if isinstance(message, Part):
                    self._give(connection, next(waiting, None))
                yield message

    def _give(self, connection: Connection, item: Item | None) -> None:
        self._at_work.pop(connection, None)
        if item is None:
            return
        self._at_work[connection] = item
        try:
            connection.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return  # It has ended; what it sent last says why.

    def _receive(self, connection: Connection) -> Any:
        try:
            return connection.recv()
        except (EOFError, ConnectionResetError):
            process, item = self._workers[connection], self._at_work[connection]
            process.join()
            raise BatchFailed(self._ended(item, process.exitcode or 0)) from None

    def _ended(self, item: Item, code: int) -> str:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        rows = f", rows {item.first_row} to {item.first_row + item.rows - 1}" if item.rows else ""
        return (
            f"The model's process ended {how} while it worked on {self._plan.files[item.file].path}{rows}. "
            "The output above may say why. With signal 9 the memory may not have been enough: ask for more."
        )

    def close(self) -> None:
        """End all processes."""
        for connection, process in self._workers.items():
            process.kill()
            process.join()
            connection.close()


@contextmanager
def processes(start: Start, folder: Place, count: int) -> Iterator[Pool]:
    """Start processes, which end with the block."""
    pool = Pool(start, folder, count)
    try:
        yield pool
    finally:
        pool.close()

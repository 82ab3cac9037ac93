"""Provides the data of an attempt before its script starts."""

from __future__ import annotations

import os
import time

from job_entrypoints.data.cache import DataCache
from job_entrypoints.data.fetching import DataStopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from job_entrypoints.attempt.record import Attempt

_PROGRESS_SECONDS = 5.0


def provide_data(attempt: Attempt, say: Callable[[str], None], may_go_on: Callable[[], bool]) -> None:
    """Bring the attempt's datasets to this node, and note their paths in it.

    Args:
        attempt: the attempt.
        say: tells people how far it is.
        may_go_on: False once the attempt has to end.

    Raises:
        DataWrong, DataUnreachable: a dataset cannot be had.
        DataStopped: the attempt has to end.
    """
    cache = DataCache(attempt.data_cache, attempt.data_cache_bytes)
    for record in attempt.data:
        total, came, begin = sum(file["bytes"] for file in record["files"]), 0, time.monotonic()
        told = begin

        def tick(count: int, total: int = total, name: str = f"{record['name']}@{record['version']}") -> None:
            nonlocal came, told
            came += count
            if not may_go_on():
                raise DataStopped
            if time.monotonic() > told + _PROGRESS_SECONDS:
                told = time.monotonic()
                say(f"data {name}: {came / 1e6:.0f} of {total / 1e6:.0f} MB")

        folder = cache.provide(record, attempt.submission_id, tick)
        single = record["single"]
        attempt.data_folders.append(folder)
        attempt.data_variables[record["variable"]] = folder if single is None else os.path.join(folder, single)

"""Threads for projects alone: they are unpacked one at a time, and the others that come meanwhile wait.

Did they wait in the threads that all requests share, forty of them would keep the platform from answering anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

_POOL: Final = ThreadPoolExecutor(2, thread_name_prefix="projects")

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def run_in_project_thread(work: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
    """Call ``work`` when one of the threads is free."""
    call = partial(copy_context().run, work, *args, **named)
    return await asyncio.get_running_loop().run_in_executor(_POOL, call)

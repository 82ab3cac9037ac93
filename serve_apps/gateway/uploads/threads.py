"""Threads for uploads only: uploads that wait for the store must not block other requests.

Projects have two threads of their own: they are unpacked one at a time, and waiting ones would block every script.

Plain threads rather than ``run_in_threadpool``, which took a seventh of the gateway's CPU time under full load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

_PROJECTS: Final = ThreadPoolExecutor(2, thread_name_prefix="projects")
_SCRIPTS: Final = ThreadPoolExecutor(32, thread_name_prefix="uploads")
"""Also the maximum number of uploads that share a commit."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def run_in_project_thread(work: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
    """Run ``work``, which reads a project, in a thread."""
    return await _run(_PROJECTS, partial(work, *args, **named))


async def run_in_upload_thread(work: Callable[_P, _R], *args: _P.args, **named: _P.kwargs) -> _R:
    """Run ``work``, which stores a job without a project, in a thread."""
    return await _run(_SCRIPTS, partial(work, *args, **named))


async def _run(pool: ThreadPoolExecutor, work: Callable[[], _R]) -> _R:
    return await asyncio.get_running_loop().run_in_executor(pool, copy_context().run, work)

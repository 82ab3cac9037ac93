"""The warm process, as the gateway sees it: commands go in, events come out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

from serve_apps.warm_pool import protocol
from serve_apps.warm_pool.protocol import Event, WarmSpec

# Forks must not inherit a library's threads, so it gets none. Replicas have one as well: Ray gives them so many CPUs.
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUNBUFFERED": "1",
}


class WarmProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Start it; ``events`` says when it is warm."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "serve_apps.warm_pool.fork_server",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **_ENVIRONMENT},  # noqa: TID251 - as a replica it has all that Ray's head has
            )
        )

    async def events(self) -> AsyncIterator[Event]:
        """What it and its forks say, until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        async for line in self._process.stdout:
            yield protocol.decode_event(line)

    def serve(self, child: str, directory: Path, spec: WarmSpec) -> None:
        """Have it fork."""
        self._tell(protocol.Serve(child, str(directory), spec))

    def end(self, child: str) -> None:
        """Have it kill a fork; an event follows when that is gone."""
        self._tell(protocol.End(child))

    async def close(self) -> None:
        """End it, and its forks with it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # To the end of its pipes, which forks hold as well: then all of them are gone.
        await self._process.communicate()

    def _tell(self, command: protocol.Serve | protocol.End) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        # Into a buffer: when the process is gone, ``events`` ends, and all that was asked of it is given up there.
        self._process.stdin.write(protocol.encode(command))

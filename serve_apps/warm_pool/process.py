"""The fork server as a subprocess of the gateway: commands go in, events come out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

from job_entrypoints.sandbox.model_process import without_rays
from raylift.domain.models.replica import GPU_VARIABLE
from serve_apps.warm_pool import protocol
from serve_apps.warm_pool.protocol import Event, WarmSpec

# One thread, since forks must not inherit threads. Ray gives replicas of one CPU the same variables.
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A version that asks for a GPU has replicas.
    GPU_VARIABLE: "",
    "PYTHONUNBUFFERED": "1",
}


def _environment() -> dict[str, str]:
    """Return the variables of Ray's head, as a replica's model has them: without the platform's credentials."""
    inherited = without_rays(os.environ)  # noqa: TID251 - those that this process got
    inherited.pop("MLFLOW_TRACKING_TOKEN", None)
    return {**inherited, **_ENVIRONMENT}


class WarmProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Start the process. The event WARM follows when it accepts commands."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "serve_apps.warm_pool.fork_server",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
            )
        )

    async def events(self) -> AsyncIterator[Event]:
        """Events of the server and its children, until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        async for line in self._process.stdout:
            yield protocol.decode_event(line)

    def serve(self, child: str, directory: Path, spec: WarmSpec) -> None:
        """Start a child for a version."""
        protocol.write_spec(directory, spec)
        self._send(protocol.Serve(child, str(directory)))

    def end(self, child: str) -> None:
        """Kill a child. The event ENDED follows."""
        self._send(protocol.End(child))

    async def close(self) -> None:
        """Kill the server and with it its children."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        # Until its pipes end. Its children hold them too, so all of them have ended then.
        await self._process.communicate()

    def _send(self, command: protocol.Serve | protocol.End) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        # Into a buffer: if the process has ended, ``events`` ends, and the pool fails its children there.
        self._process.stdin.write(protocol.encode(command))

"""Pool of warm processes: starts one for a version when a request needs it, and ends it when it is idle."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from raylift.domain.backoff import backoff
from raylift.domain.errors import EngineUnavailable
from raylift.domain.models.deployment import Deployment
from raylift.settings import PlatformSettings
from serve_apps.warm_pool.fork_server import SOCKET
from serve_apps.warm_pool.process import WarmProcess
from serve_apps.warm_pool.protocol import Event, EventKind
from serve_apps.warm_pool.spec import packages_of, warm_spec

_log = logging.getLogger(__name__)

_IDLE_CHECK_SECONDS: Final = 2.0
_DEPLOYED_CHECK_SECONDS: Final = 0.5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_MAX_LOAD_FAILURES: Final = 4096

Version = tuple[str, str]
Key = tuple[str, str, str]
"""Model name, version, and creation and generation of the deployment."""


class NoWarmProcess(Exception):
    """No warm process can answer for the version: it does not load in one, or there is no room."""


class StillLoading(Exception):
    """The version loads for longer than the request may wait."""


class Connection(Protocol):
    """Connection to the HTTP server of a process."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


@dataclass(slots=True)
class Child(Generic[C]):
    """Warm process of a version."""

    key: Key
    name: str
    directory: Path
    connection: C
    loaded: asyncio.Future[None]
    used_at: float
    in_flight: int = 0
    pid: int = 0


class WarmPool(Generic[C]):
    """Lends processes that answer for a version. Lives in one event loop.

    Args:
        settings: Settings of the platform.
        connect: Makes a connection to the HTTP server at a socket.
        deployed: Returns those deployments of the given versions that are still wanted; called in a thread.
        workspace_of: Returns the workspace of a model; called in a thread.
    """

    def __init__(
        self,
        settings: PlatformSettings,
        connect: Callable[[Path], C],
        deployed: Callable[[Sequence[Version]], list[Deployment]],
        workspace_of: Callable[[str], str],
    ) -> None:
        self._deployed = deployed
        self._workspace_of = workspace_of
        self._settings = settings
        self._limits = settings.serving
        self._connect = connect
        self._children: dict[Key, Child[C]] = {}
        self._by_name: dict[str, Child[C]] = {}
        """Includes children that are being ended."""
        self._load_failures: set[Key] = set()
        self._closing: set[asyncio.Task[Any]] = set()
        self._count = 0
        self._is_warm = asyncio.Event()
        self._process: WarmProcess | None = None
        self._runner: asyncio.Task[None] | None = None
        self._root: Path | None = None

    async def start(self) -> None:
        """Start the fork server, so that its imports precede the first request. Does nothing if warm processes are off."""
        if self._runner is None and self._limits.warm_models > 0:
            # A short name: a socket's path has at most 107 bytes.
            self._root = Path(tempfile.mkdtemp(prefix="rl-warm-"))
            self._runner = asyncio.create_task(self._run(self._root))

    async def close(self) -> None:
        """End all processes."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner, *self._closing])
            self._runner = None

    def can_answer(self, deployment: Deployment) -> bool:
        """Tell whether a warm process may answer for the version."""
        if self._limits.warm_models == 0 or not deployment.fits_warm_process or _key(deployment) in self._load_failures:
            return False
        if deployment.files is None:
            return False  # The supervisor records them within a moment.
        return packages_of(deployment, self._settings) is not None

    @asynccontextmanager
    async def process_of(self, deployment: Deployment, until: float) -> AsyncIterator[Child[C]]:
        """Lend a process that has loaded the version. It is not ended during the context.

        Raises:
            NoWarmProcess: None can answer for the version.
            StillLoading: It was not loaded by ``until`` of the monotonic clock. Loading goes on.
        """
        await self.start()
        if not self._is_warm.is_set():
            await _wait_until(until, self._is_warm.wait())
        child = self._children.get(_key(deployment)) or await self._fork(deployment)
        child.in_flight += 1
        try:
            if not child.loaded.done():
                # Shielded: other requests wait for it as well.
                await _wait_until(until, asyncio.shield(child.loaded))
            child.loaded.result()
            yield child
        finally:
            child.in_flight -= 1
            child.used_at = time.monotonic()

    async def _fork(self, deployment: Deployment) -> Child[C]:
        workspace = await asyncio.to_thread(self._workspace_of, deployment.model_name)
        if (child := self._children.get(_key(deployment))) is not None:
            return child  # Another request has forked it meanwhile.
        if self._process is None or self._root is None:
            raise NoWarmProcess
        while len(self._children) >= self._limits.warm_models:
            self._end_oldest()
        spec = warm_spec(deployment, workspace, self._settings)
        if spec is None:
            raise NoWarmProcess
        self._count += 1
        name = str(self._count)
        directory = self._root / name
        directory.mkdir()
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        child = Child(_key(deployment), name, directory, self._connect(directory / SOCKET), loaded, time.monotonic())
        self._children[child.key] = self._by_name[name] = child
        self._process.serve(name, directory, spec)
        return child

    def _end_oldest(self) -> None:
        idle = [child for child in self._children.values() if child.in_flight == 0]
        if not idle:
            raise NoWarmProcess
        self._end(min(idle, key=lambda child: child.used_at).key)

    def _end(self, key: Key) -> None:
        child = self._children.pop(key)
        if self._process is not None:
            self._process.end(child.name)

    async def _run(self, root: Path) -> None:
        """Keep a fork server running."""
        failures = 0
        try:
            while True:
                began = time.monotonic()
                await self._run_process()
                failures = 0 if time.monotonic() - began > _LONGEST_PAUSE else failures + 1
                pause = backoff(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE) if failures else 0.0
                _log.warning("The warm process has ended; another starts in %.1f s", pause)
                await asyncio.sleep(pause)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    async def _run_process(self) -> None:
        """Run one fork server from its start to its end."""
        process = self._process = await WarmProcess.start()
        checks = [asyncio.create_task(self._end_idle()), asyncio.create_task(self._end_undeployed())]
        try:
            async for event in process.events():
                self._handle(event)
        finally:
            for check in checks:
                check.cancel()
            self._process = None
            self._is_warm.clear()
            for child in list(self._by_name.values()):
                self._remove(child, "the warm process ended")
            await process.close()

    def _handle(self, event: Event) -> None:
        if event.kind is EventKind.WARM:
            self._is_warm.set()
            return
        child = self._by_name.get(event.child)
        if child is None:
            return
        child.pid = event.pid
        match event.kind:
            case EventKind.LOADED:
                if not child.loaded.done():
                    child.loaded.set_result(None)
            case EventKind.LOAD_FAILED:
                _log.info("%s version %s does not load in a warm process: %s", *child.key[:2], event.text)
                if len(self._load_failures) >= _MAX_LOAD_FAILURES:
                    self._load_failures.clear()
                self._load_failures.add(child.key)
                _fail_loading(child, event.text)
            case EventKind.ENDED:
                self._remove(child, event.text)

    def _remove(self, child: Child[C], reason: str) -> None:
        del self._by_name[child.name]
        if self._children.get(child.key) is child:
            del self._children[child.key]
            _log.info("the process of %s version %s ended: %s", *child.key[:2], reason)
        _fail_loading(child, reason)
        shutil.rmtree(child.directory, ignore_errors=True)
        task = asyncio.create_task(child.connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _end_idle(self) -> None:
        """End processes that are idle for long, and the longest idle ones while all use too much memory together."""
        while True:
            await asyncio.sleep(_IDLE_CHECK_SECONDS)
            oldest = time.monotonic() - self._limits.warm_idle_seconds
            for key, child in list(self._children.items()):
                if child.in_flight == 0 and child.loaded.done() and child.used_at < oldest:
                    self._end(key)
            try:
                while await asyncio.to_thread(self._memory) > self._limits.warm_memory_bytes:
                    self._end_oldest()
            except NoWarmProcess:
                _log.info("warm processes have more than %d bytes, and all are at work", self._limits.warm_memory_bytes)

    async def _end_undeployed(self) -> None:
        """End idle processes of versions that were deleted or deployed anew: no request comes for them."""
        while True:
            await asyncio.sleep(_DEPLOYED_CHECK_SECONDS)
            keys = [key for key, child in self._children.items() if child.in_flight == 0]
            if not keys:
                continue
            try:
                wanted = {_key(row) for row in await asyncio.to_thread(self._deployed, [key[:2] for key in keys])}
            except EngineUnavailable as error:
                _log.info("deployments of warm processes cannot be checked: %s", error)
                continue
            for key in keys:
                child = self._children.get(key)
                if key not in wanted and child is not None and child.in_flight == 0:
                    self._end(key)

    def _memory(self) -> int:
        """Private memory of all processes in bytes."""
        return sum(_private_memory(child.pid) for child in list(self._children.values()) if child.pid)


def _fail_loading(child: Child[Any], reason: str) -> None:
    if not child.loaded.done():
        child.loaded.set_exception(NoWarmProcess(reason))
        child.loaded.exception()  # retrieved: without it asyncio logs an error if no request waits


async def _wait_until(until: float, awaitable: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(awaitable, max(0.0, until - time.monotonic()))
    except TimeoutError:
        raise StillLoading from None


def _key(deployment: Deployment) -> Key:
    # Names and numbers repeat when a model is deleted and registered anew, and a version's deployment may change.
    return deployment.model_name, deployment.version, f"{deployment.created_at.isoformat()} {deployment.generation}"


def _private_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

"""Which versions warm processes answer for: started when a request needs one, ended when nobody has for a while."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from raylift.domain.backoff import backoff
from raylift.domain.deployment import Deployment
from raylift.domain.errors import EngineUnavailable
from raylift.engines.environments.overlays.overlay import is_built, overlay_directory
from raylift.engines.metrics.observing import observer_config
from raylift.settings import PlatformSettings
from serve_apps.warm_pool.fork_server import SOCKET
from serve_apps.warm_pool.process import WarmProcess
from serve_apps.warm_pool.protocol import Event, EventKind, WarmSpec

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0
_DEPLOYED_SECONDS: Final = 0.5
"""Pause between two looks at whether versions with a process are still deployed."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_MAX_UNFIT: Final = 4096

Version = tuple[str, str]
Key = tuple[str, str, str]


class NoWarmProcess(Exception):
    """None can answer for this version: it does not load in one, or there is no room."""


class StillLoading(Exception):
    """It will answer, but not by the time that the request may wait."""


class Connection(Protocol):
    """What requests are sent over to a process."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


@dataclass(slots=True)
class Child(Generic[C]):
    """One version's process."""

    name: str
    directory: Path
    connection: C
    loaded: asyncio.Future[None]
    used_at: float
    in_flight: int = 0
    pid: int = 0


@dataclass(slots=True)
class _Book(Generic[C]):
    """Who is there."""

    by_key: dict[Key, Child[C]] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    by_name: dict[str, tuple[Key, Child[C]]] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType]
    """Those that are being ended, too."""
    unfit: dict[Key, str] = field(default_factory=dict[Key, str])


class WarmPool(Generic[C]):
    """Lends processes that answer for a version. Lives in one event loop.

    Args:
        settings: the platform's.
        connect: makes a connection to the HTTP server at a socket.
        deployed: the deployments, of those that are asked for, that are still wanted; called in a thread.
    """

    def __init__(
        self,
        settings: PlatformSettings,
        connect: Callable[[Path], C],
        deployed: Callable[[Sequence[Version]], list[Deployment]],
    ) -> None:
        self._deployed = deployed
        self._settings = settings
        self._limits = settings.serving
        self._connect = connect
        self._book: _Book[C] = _Book()
        self._closing: set[asyncio.Task[Any]] = set()
        self._count = 0
        self._is_warm = asyncio.Event()
        self._process: WarmProcess | None = None
        self._runner: asyncio.Task[None] | None = None
        self._root: Path | None = None

    async def start(self) -> None:
        """Start importing, so that the first request need not wait for it. Does nothing where warm processes are off."""
        if self._runner is None and self._limits.warm_models > 0:
            # Short: a socket's path has at most 107 bytes.
            self._root = Path(tempfile.mkdtemp(prefix="rl-warm-"))
            self._runner = asyncio.create_task(self._run(self._root))

    async def close(self) -> None:
        """End all processes."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner, *self._closing])
            self._runner = None

    def can_answer(self, deployment: Deployment) -> bool:
        """Whether a warm process may be tried for this version."""
        if self._limits.warm_models == 0 or not deployment.fits_warm_process:
            return False
        return _key(deployment) not in self._book.unfit and self._packages(deployment) is not False

    @asynccontextmanager
    async def process_of(self, deployment: Deployment, until: float) -> AsyncIterator[Child[C]]:
        """A process that has loaded the version, and is not ended while this is entered.

        Raises:
            NoWarmProcess: see there.
            StillLoading: the moment ``until`` of the monotonic clock has come. It goes on loading.
        """
        await self.start()
        if not self._is_warm.is_set():
            await _by(until, self._is_warm.wait())
        child = self._book.by_key.get(_key(deployment)) or self._fork(deployment)
        child.in_flight += 1
        try:
            if not child.loaded.done():
                # Shielded: others wait for it as well.
                await _by(until, asyncio.shield(child.loaded))
            child.loaded.result()
            yield child
        finally:
            child.in_flight -= 1
            child.used_at = time.monotonic()

    def _fork(self, deployment: Deployment) -> Child[C]:
        process, root = self._process, self._root
        if process is None or root is None:
            raise NoWarmProcess
        self._make_room()
        packages = self._packages(deployment)
        if packages is False:
            raise NoWarmProcess
        self._count += 1
        name = str(self._count)
        directory = root / name
        directory.mkdir()
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        child = Child(name, directory, self._connect(directory / SOCKET), loaded, time.monotonic())
        key = _key(deployment)
        self._book.by_key[key] = child
        self._book.by_name[name] = (key, child)
        spec = WarmSpec(
            model_name=deployment.model_name,
            version=deployment.version,
            model_uri=deployment.model_uri,
            mlflow_url=self._settings.mlflow_url,
            max_body_bytes=self._settings.gateway.max_body_bytes,
            batching=asdict(deployment.config.batching) if deployment.config.batching else None,
            counters_dir=str(self._settings.counters_dir),
            observer=observer_config(deployment.config, self._settings).as_json(),
            packages_dir=None if packages is None else str(packages),
            worked_on_dir=str(self._settings.ingress.worked_on) if self._settings.ingress else None,
            environment=dict(deployment.config.environment),
        )
        process.serve(name, directory, spec)
        return child

    def _packages(self, deployment: Deployment) -> Path | bool | None:
        """The packages of the version's environment: None for the base, False while it is not built."""
        if not deployment.environment_lock:
            return None
        directory = overlay_directory(deployment.environment_lock, self._settings.environments_dir)
        if self._settings.environments.mechanism != "overlay" or not is_built(directory):
            return False
        return next(directory.glob("lib/python*/site-packages"), False)

    def _make_room(self) -> None:
        while len(self._book.by_key) >= self._limits.warm_models:
            self._end_oldest()

    def _end_oldest(self) -> None:
        idle = [key for key, child in self._book.by_key.items() if child.in_flight == 0]
        if not idle:
            raise NoWarmProcess
        self._end(min(idle, key=lambda key: self._book.by_key[key].used_at))

    def _end(self, key: Key) -> None:
        child = self._book.by_key.pop(key)
        if self._process is not None:
            self._process.end(child.name)

    async def _run(self, root: Path) -> None:
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
        """One warm process from its start to its end."""
        process = self._process = await WarmProcess.start()
        watches = [asyncio.create_task(self._watch()), asyncio.create_task(self._end_what_is_not_deployed())]
        try:
            async for event in process.events():
                self._note(event)
        finally:
            for watch in watches:
                watch.cancel()
            self._process = None
            self._is_warm.clear()
            for name in list(self._book.by_name):
                self._forget(name, "the warm process ended")
            await process.close()

    def _note(self, event: Event) -> None:
        if event.kind is EventKind.WARM:
            self._is_warm.set()
            return
        entry = self._book.by_name.get(event.child)
        if entry is None:
            return
        key, child = entry
        child.pid = event.pid
        match event.kind:
            case EventKind.LOADED:
                if not child.loaded.done():
                    child.loaded.set_result(None)
            case EventKind.UNFIT:
                _log.info("%s version %s is not for a warm process: %s", key[0], key[1], event.text)
                if len(self._book.unfit) >= _MAX_UNFIT:
                    self._book.unfit.clear()
                self._book.unfit[key] = event.text
                _give_up(child, event.text)
            case EventKind.ENDED:
                self._forget(event.child, event.text)

    def _forget(self, name: str, why: str) -> None:
        key, child = self._book.by_name.pop(name)
        if self._book.by_key.get(key) is child:
            del self._book.by_key[key]
            _log.info("the process of %s version %s ended: %s", key[0], key[1], why)
        _give_up(child, why)
        shutil.rmtree(child.directory, ignore_errors=True)
        task = asyncio.create_task(child.connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _watch(self) -> None:
        """End who has been idle for long, and the longest idle while they have too much memory together."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            old = time.monotonic() - self._limits.warm_idle_seconds
            for key, child in list(self._book.by_key.items()):
                if child.in_flight == 0 and child.loaded.done() and child.used_at < old:
                    self._end(key)
            try:
                while await asyncio.to_thread(self._memory) > self._limits.warm_memory_bytes:
                    self._end_oldest()
            except NoWarmProcess:
                _log.info("warm processes have more than %d bytes, and all are at work", self._limits.warm_memory_bytes)

    async def _end_what_is_not_deployed(self) -> None:
        """End processes of versions that were deleted, or deployed anew in another way: nobody asks them any more."""
        while True:
            await asyncio.sleep(_DEPLOYED_SECONDS)
            keys = [key for key, child in self._book.by_key.items() if child.in_flight == 0]
            if not keys:
                continue
            try:
                wanted = {_key(row) for row in await asyncio.to_thread(self._deployed, [key[:2] for key in keys])}
            except EngineUnavailable as error:
                _log.info("whether versions are still deployed cannot be told: %s", error)
                continue
            for key in keys:
                child = self._book.by_key.get(key)
                if key not in wanted and child is not None and child.in_flight == 0:
                    self._end(key)

    def _memory(self) -> int:
        """Bytes that the processes have for themselves."""
        return sum(_own_memory(child.pid) for child in list(self._book.by_key.values()) if child.pid)


def _give_up(child: Child[Any], why: str) -> None:
    if not child.loaded.done():
        child.loaded.set_exception(NoWarmProcess(why))
        child.loaded.exception()  # Nobody may be waiting for it, which is no mistake.


async def _by(until: float, what: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(what, max(0.0, until - time.monotonic()))
    except TimeoutError:
        raise StillLoading from None


def _key(deployment: Deployment) -> Key:
    # Names and numbers come again when a model is deleted and registered anew, and what is wanted of a version may change.
    return deployment.model_name, deployment.version, f"{deployment.created_at.isoformat()} {deployment.generation}"


def _own_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

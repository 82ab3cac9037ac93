"""A platform on this machine: its start, discovery and stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from raylift.domain.listing import listed
from raylift.launcher.errors import LauncherError
from raylift.launcher.processes.platform_processes import end_all, instances_with, pids_by_component, processes_of
from raylift.launcher.progress import NoProgress, Progress
from raylift.launcher.run.config import load_config
from raylift.launcher.run.exposure import names_note, require_authentication, require_node_address
from raylift.launcher.run.gcs_storage import require_gcs_storage
from raylift.launcher.run.ports import LOOPBACK, choose_ports
from raylift.launcher.run.record import IncompleteRecord, RunRecord, delete_record, exclusive, read_record, write_record
from raylift.launcher.run.session import keep_logs, remove_session, session_path, temp_path
from raylift.launcher.startup import database_url, new_record, start_everything

MAIN = ("mlflow_keeper", "gcs_server", "raylet", "dashboard")
"""Processes that are not restarted. Without one of them, `raylift up` ends the rest and starts everything again."""


_ACTORS = ("supervisor", "gateway", "serve_controller")
"""Processes that Ray, Ray Serve or the gateway start again, but for those that a script killed together."""
_PAUSE_SECONDS = 0.5


class LocalPlatform:
    """A running platform. As a context manager it stops at the end."""

    def __init__(self, record: RunRecord, *, found_running: bool) -> None:
        self.record = record
        self.found_running = found_running
        """True where it ran before ``start`` was called."""

    @classmethod
    def start(
        cls,
        state_dir: Path,
        *,
        config_file: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Start the platform of ``state_dir`` with its former state, or return the running one.

        Args:
            state_dir: directory of all persistent data.
            config_file: overrides the default configuration (cluster_configs/local.yaml).
            overrides: overrides both.
            progress: receives every step.

        Raises:
            LauncherError: the start failed; all started processes have been ended.
        """
        if not sys.platform.startswith("linux"):
            raise LauncherError("raylift up runs on Linux only, for now.", hint="On macOS and Windows, run it in a container.")
        config_file = config_file.resolve() if config_file else None
        config = load_config(config_file, overrides)
        require_authentication(config)
        require_node_address(config)
        progress = progress or NoProgress()
        if note := names_note(config):
            progress.say(note)
        state_dir = state_dir.expanduser().resolve()
        with exclusive(state_dir):
            try:
                former = read_record(state_dir)
            except IncompleteRecord as error:
                progress.say(f"{error.detail} Ending the rest of that platform.")
                _end_unrecorded(state_dir, grace_seconds=config.jobs.stop_grace_seconds)
                former = None
            if former is not None:
                if is_running(former) and _has_recovered(former, progress, config.startup.timeout_seconds):
                    return cls(former, found_running=True)
                progress.say("Ending the rest of a former platform.")
                _end(former)
            require_gcs_storage(config, database_url(config, state_dir))
            with choose_ports(config.ports, config.host, config.host if config.accept_nodes else LOOPBACK) as ports:
                record = new_record(state_dir, config, ports, config_file=config_file)
                try:
                    record = start_everything(config, record, progress)
                except BaseException:
                    # Also after Ctrl-C, no process is left.
                    progress.say("Ending the started processes.")
                    with _uninterrupted():
                        _end(record)
                    raise
        return cls(record, found_running=False)

    @classmethod
    def find(cls, state_dir: Path) -> Self | None:
        """Return the platform of ``state_dir`` if it runs or a part of it is left, else None."""
        record = read_record(state_dir.expanduser().resolve())
        return cls(record, found_running=True) if record is not None else None

    @property
    def url(self) -> str:
        """URL of the API."""
        return self.record.url

    @property
    def urls(self) -> dict[str, str]:
        """``api``, ``docs``, ``ray_dashboard`` and ``mlflow``."""
        return self.record.urls()

    def processes(self) -> list[psutil.Process]:
        """Return all of its processes, jobs included."""
        return processes_of(self.record.instance)

    def stop(self) -> list[str]:
        """End every process, jobs included, and return their descriptions. The state directory is kept."""
        with exclusive(self.record.state_dir), _uninterrupted():
            return _end(self.record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def is_running(record: RunRecord) -> bool:
    """Return True where the start was completed and the main processes live."""
    return record.ready and set(MAIN) <= pids_by_component(record.instance).keys()


def _has_recovered(record: RunRecord, progress: Progress, timeout: float) -> bool:
    """Wait until Ray and the gateway have replaced ended actors. Returns False if they do not within ``timeout`` seconds."""
    if not _missing_actors(record):
        return True
    deadline = time.monotonic() + timeout
    with progress.step("Platform", f"its {listed(_missing_actors(record))} to come back"):
        while _missing_actors(record) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
    return not _missing_actors(record)


def _missing_actors(record: RunRecord) -> list[str]:
    return sorted(set(_ACTORS) - pids_by_component(record.instance).keys())


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Ignore a second Ctrl-C, which would leave a part running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _end(record: RunRecord) -> list[str]:
    if record.ready:
        # Processes are frozen before they are killed. If this process dies in between, they must not count as running.
        write_record(record.model_copy(update={"ready": False}))
    ended = end_all(record.instance, grace_seconds=record.stop_grace_seconds)
    if left := processes_of(record.instance):
        raise LauncherError(f"Processes {', '.join(str(process.pid) for process in left)} could not be ended.")
    keep_logs(record.session_dir, record.state_dir / "logs")
    remove_session(record.session_dir)
    delete_record(record.state_dir)
    return ended


def _end_unrecorded(state_dir: Path, *, grace_seconds: float) -> None:
    """End the processes of a platform on this state directory whose record is lost."""
    for instance in instances_with("TMPDIR", str(temp_path(session_path(state_dir)))):
        end_all(instance, grace_seconds=grace_seconds)

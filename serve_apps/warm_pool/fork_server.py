"""Fork server: imports what models need, then forks a process for each version on request.

Run as ``python -m serve_apps.warm_pool.fork_server``. A child shares the memory of the imported libraries, starts within
milliseconds, and serves one model: if the model's code crashes, no other process is affected. The server itself runs no model
code, has one thread, and no connection to Ray or the store. It ends when its stdin ends, and its children with it.

A child runs its model's code. So it reports by a pipe of its own, and has no descriptor of the server or of other children.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from job_entrypoints.sandbox.model_process import close_descriptors, end_with_parent
from serve_apps.warm_pool.protocol import Event, EventKind, Serve, decode_command, decode_event, encode, take_spec

SOCKET: Final = "http"
_BACKLOG: Final = 1024
_READ_BYTES: Final = 65536
_OOM_SCORE: Final = "500"
_TEXT_LIMIT: Final = 600
_OF_CHILDREN: Final = frozenset({EventKind.LOADED, EventKind.LOAD_FAILED})
_LIBRARIES: Final = (
    "numpy",
    "pandas",
    "scipy.sparse",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "sklearn.svm",
    "xgboost",
    "lightgbm",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "serve_apps.model_server.process.version",
    "serve_apps.model_server.predictors.lightgbm",
    "serve_apps.model_server.predictors.xgboost",
    # Last: only models of other libraries need it.
    "mlflow.pyfunc",
    "mlflow.sklearn",
)
"""Imported at start: most of the seconds that a replica needs to start."""


def main() -> None:
    """Run until stdin ends."""
    # Events go to stdout's pipe; what models print goes to stderr.
    events = os.dup(1)
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    started = time.perf_counter()
    # They start no threads, which a fork would not have: the environment limits OpenMP to one (process.py).
    for name in _LIBRARIES:
        importlib.import_module(name)
    logging.getLogger(__name__).info("warm after %.1f s", time.perf_counter() - started)
    gc.collect()
    # Excluded from collection: children that do not write its marks go on sharing its memory.
    gc.freeze()
    _ForkServer(events).run()


@dataclass(slots=True)
class _Reports:
    """Reports of a child."""

    child: str
    pid: int
    unfinished: bytes = b""


class _ForkServer:
    def __init__(self, events: int) -> None:
        self._events = events
        self._children: dict[str, int] = {}
        self._reports: dict[int, _Reports] = {}
        """Pipes of the children, by their descriptors."""
        self._selector = selectors.DefaultSelector()
        self._signals, wakeup = socket.socketpair()
        self._signals.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup

    def run(self) -> None:
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        # A Python handler, so that signals write to the wakeup descriptor.
        signal.signal(signal.SIGCHLD, _ignore)
        self._send(Event(EventKind.WARM))
        with self._selector as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            self._serve_commands(selector)
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)

    def _serve_commands(self, selector: selectors.BaseSelector) -> None:
        buffer = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            # Reports first: the last one of a child comes before its end.
            for descriptor in ready & self._reports.keys():
                self._pass_on(descriptor)
            if self._signals.fileno() in ready:
                self._signals.recv(_READ_BYTES)
                self._reap()
            if 0 not in ready:
                continue
            received = os.read(0, _READ_BYTES)
            if not received:
                return
            *lines, buffer = (buffer + received).split(b"\n")
            for line in lines:
                self._execute(line)

    def _execute(self, line: bytes) -> None:
        command = decode_command(line)
        if isinstance(command, Serve):
            self._fork(command)
        elif (pid := self._children.get(command.child)) is not None:
            # Not reaped yet, so the pid is still this child's.
            os.kill(pid, signal.SIGKILL)

    def _fork(self, command: Serve) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(Path(command.directory) / SOCKET))
        listener.listen(_BACKLOG)
        reports, written = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._run_child(command, listener, written)
        listener.close()
        os.close(written)
        self._children[command.child] = pid
        self._reports[reports] = _Reports(command.child, pid)
        self._selector.register(reports, selectors.EVENT_READ)

    def _run_child(self, command: Serve, listener: socket.socket, reports: int) -> None:
        code = 1
        try:
            _detach(command.directory, keep={listener.fileno(), reports})
            from serve_apps.warm_pool.serving import serve

            spec = take_spec(Path(command.directory))
            code = serve(spec, command.directory, listener, lambda kind, text: _report(reports, kind, text))
        except BaseException:
            logging.getLogger(__name__).exception("a warm process failed")
        finally:
            # Without returning to the parent's loop or running its exit handlers.
            sys.stderr.flush()
            os._exit(code)

    def _pass_on(self, descriptor: int) -> None:
        """Send a child's reports to the gateway, all of them under that child's name."""
        reports = self._reports[descriptor]
        received = os.read(descriptor, _READ_BYTES)
        if not received:
            self._close_reports(descriptor)
            return
        *lines, rest = (reports.unfinished + received).split(b"\n")
        reports.unfinished = rest[:_READ_BYTES]
        for line in lines:
            if (report := _read_report(line)) is not None:
                self._send(Event(report.kind, reports.child, str(report.text)[:_TEXT_LIMIT], reports.pid))

    def _close_reports(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        del self._reports[descriptor]

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = next(name for name, number in self._children.items() if number == pid)
            del self._children[child]
            for descriptor in [each for each, reports in self._reports.items() if reports.child == child]:
                self._close_reports(descriptor)
            code = os.waitstatus_to_exitcode(status)
            self._send(Event(EventKind.ENDED, child, f"signal {-code}" if code < 0 else f"exit code {code}", pid))

    def _send(self, event: Event) -> None:
        os.write(self._events, encode(event))


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the signal has written to the wakeup descriptor."""


def _report(descriptor: int, kind: EventKind, text: str) -> None:
    os.write(descriptor, encode(Event(kind, text=text[:_TEXT_LIMIT])))


def _read_report(line: bytes) -> Event | None:
    """Read a report of a child; None for what only the server may tell, or for what its model's code wrote there."""
    try:
        event = decode_event(line)
    except (ValueError, KeyError, TypeError):
        return None
    return event if event.kind in _OF_CHILDREN else None


def _detach(directory: str, keep: set[int]) -> None:
    close_descriptors(keep)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # When memory runs out, the kernel kills a model before the platform.
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    os.environ["TMPDIR"] = directory  # noqa: TID251 - the model's code reads it, too


if __name__ == "__main__":
    main()

"""Fork server: imports what models need, then forks a process for each version on request.

Run as ``python -m serve_apps.warm_pool.fork_server``. A child shares the memory of the imported libraries, starts within
milliseconds, and serves one model: if the model's code crashes, no other process is affected. The server itself runs no model
code, has one thread, and no connection to Ray or the store. It ends when its stdin ends, and its children with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from serve_apps.warm_pool.protocol import Event, EventKind, Serve, decode_command, encode

SOCKET: Final = "http"
_BACKLOG: Final = 1024
_PR_SET_PDEATHSIG: Final = 1
_READ_BYTES: Final = 65536
_OOM_SCORE: Final = "500"
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
    "serve_apps.model_server.server.asgi",
    "serve_apps.model_server.loading.loader",
    "serve_apps.model_server.observability.observer",
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


class _ForkServer:
    def __init__(self, events: int) -> None:
        self._events = events
        self._children: dict[str, int] = {}
        self._signals, wakeup = socket.socketpair()
        self._signals.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup

    def run(self) -> None:
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        # A Python handler, so that signals write to the wakeup descriptor.
        signal.signal(signal.SIGCHLD, _ignore)
        self._send(Event(EventKind.WARM))
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            self._serve_commands(selector)
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)

    def _serve_commands(self, selector: selectors.BaseSelector) -> None:
        buffer = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
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
        pid = os.fork()
        if pid == 0:
            self._run_child(command, listener)
        listener.close()
        self._children[command.child] = pid

    def _run_child(self, command: Serve, listener: socket.socket) -> None:
        code = 1
        try:
            _detach(command.directory)
            from serve_apps.warm_pool.serving import serve

            code = serve(command.spec, listener, self._reporter(command.child))
        except BaseException:
            logging.getLogger(__name__).exception("%s version %s", command.spec.model_name, command.spec.version)
        finally:
            # Without returning to the parent's loop or running its exit handlers.
            sys.stderr.flush()
            os._exit(code)

    def _reporter(self, child: str) -> Callable[[EventKind, str], None]:
        return lambda kind, text: self._send(Event(kind, child, text[:600], os.getpid()))

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = next(name for name, number in self._children.items() if number == pid)
            del self._children[child]
            code = os.waitstatus_to_exitcode(status)
            self._send(Event(EventKind.ENDED, child, f"signal {-code}" if code < 0 else f"exit code {code}", pid))

    def _send(self, event: Event) -> None:
        # Shorter than PIPE_BUF, so that writes of several processes do not mix.
        os.write(self._events, encode(event))


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the signal has written to the wakeup descriptor."""


def _detach(directory: str) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # When memory runs out, the kernel kills a model before the platform.
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    os.environ["TMPDIR"] = directory  # noqa: TID251 - the model's code reads it, too


if __name__ == "__main__":
    main()

"""The warm process: has imported what models need, does nothing, and forks a process for each version that it is asked for.

``python -m serve_apps.warm_pool.fork_server``. A fork shares the imported libraries' memory, starts within milliseconds, and
is alone with its model: what a model's code breaks is its own process. The warm process itself never runs a model's code, has
one thread, and no connection to Ray or to the store. It ends when its stdin ends, and its forks with it.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import selectors
import signal
import socket
import sys
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


def main() -> None:
    """Run until stdin ends."""
    # Models print, too: what stdout was carries events, what they print goes where errors go.
    events = os.dup(1)
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    from serve_apps.warm_pool.libraries import import_libraries

    import_libraries()
    gc.collect()
    # What is here now is never garbage: forks that do not touch its marks go on sharing its memory.
    gc.freeze()
    _Zygote(events).run()


class _Zygote:
    def __init__(self, events: int) -> None:
        self._events = events
        self._children: dict[str, int] = {}
        self._signals, wakeup = socket.socketpair()
        self._signals.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup

    def run(self) -> None:
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        # Any handler of Python's, so that the wakeup descriptor is written to.
        signal.signal(signal.SIGCHLD, _nothing)
        self._say(Event(EventKind.WARM))
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
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        command = decode_command(line)
        if isinstance(command, Serve):
            self._fork(command)
        elif (pid := self._children.get(command.child)) is not None:
            # Not reaped yet, so the number is still this child's.
            os.kill(pid, signal.SIGKILL)

    def _fork(self, command: Serve) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(Path(command.directory) / SOCKET))
        listener.listen(_BACKLOG)
        pid = os.fork()
        if pid == 0:
            self._become(command, listener)
        listener.close()
        self._children[command.child] = pid

    def _become(self, command: Serve, listener: socket.socket) -> None:
        code = 1
        try:
            _part_from_parent(command.directory)
            from serve_apps.warm_pool.serving import serve

            code = serve(command.spec, listener, self._reporter(command.child))
        except BaseException:
            logging.getLogger(__name__).exception("%s version %s", command.spec.model_name, command.spec.version)
        finally:
            # Never back into the parent's loop, and no exit handlers of the parent's either.
            sys.stderr.flush()
            os._exit(code)

    def _reporter(self, child: str) -> Callable[[EventKind, str], None]:
        return lambda kind, text: self._say(Event(kind, child, text[:600], os.getpid()))

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = next(name for name, number in self._children.items() if number == pid)
            del self._children[child]
            code = os.waitstatus_to_exitcode(status)
            self._say(Event(EventKind.ENDED, child, f"signal {-code}" if code < 0 else f"exit code {code}", pid))

    def _say(self, event: Event) -> None:
        # Shorter than a pipe's atomic write, since all forks share it.
        os.write(self._events, encode(event))


def _nothing(signum: int, frame: FrameType | None) -> None:
    """Handle a signal by having been woken."""


def _part_from_parent(directory: str) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # When memory runs out, a model goes before the platform.
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    os.environ["TMPDIR"] = directory  # noqa: TID251 - for the model's own code, too


if __name__ == "__main__":
    main()

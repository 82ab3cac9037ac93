"""A replica's end of the process that has its model (serve_apps/model_server/process)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, Final, Self

from job_entrypoints.contract import OVERLAY_VARIABLE
from job_entrypoints.sandbox.model_process import Started, start
from raylift.domain.models.replica import MODEL_PROCESS, ModelProcess
from raylift.ingress.access_token import App
from raylift.ray_internals.setup_worker import STARTED
from serve_apps.model_server.process.channel import Channel, memory_file
from serve_apps.model_server.process.log_lines import write_log_line
from serve_apps.model_server.process.page import CountPage

_log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 10.0
"""For writing what is buffered, at a graceful end."""
_MOST_OUTPUT: Final = 2000
_STDOUT: Final = 1
_STDERR: Final = 2
_SERVES_LOG: Final = logging.getLogger("ray.serve")


class ModelEnded(RuntimeError):
    """The process of the model has ended."""


class ModelHost:
    """The process of a replica's model. Lives in the replica's event loop.

    When the process ends by itself after it has loaded, the replica ends as well: Serve replaces it at once, and HAProxy sends
    the requests to another.
    """

    def __init__(self, started: Started, overlay: str | None) -> None:
        self.overlay = overlay
        """Folder of the version's environment; None for the base."""
        self._started = started
        self._channel = Channel(started.control)
        self._page = CountPage(started.page)
        self._process = os.pidfd_open(started.pid)
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._serves: App | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_loaded = self._is_closing = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self._read)
        self._loop.add_reader(self._process, self._ended)

    @classmethod
    def of_this_worker(cls, environ: MutableMapping[str, str] = os.environ) -> Self:  # noqa: TID251 - this worker's start
        """Return the process that the first step of this worker's start has started; start one where Ray's own step did it."""
        text, overlay = environ.pop(STARTED, None), environ.get(OVERLAY_VARIABLE)
        if text is not None:
            return cls(Started.of(text), overlay)
        asked: dict[str, Any] = json.loads(environ.get(MODEL_PROCESS) or ModelProcess("model").as_text())
        python = sys.executable if overlay is None else f"{overlay}/bin/python"
        return cls(start(asked, python, overlay, environ), overlay)

    async def load(self, order: Mapping[str, Any]) -> None:
        """Load the version of an order.

        Raises:
            RuntimeError: It does not load; the message says why.
        """
        spec = memory_file(json.dumps(order).encode())
        try:
            # Its output goes to the files of this worker's output from now on.
            await self._ask("load", (spec, _STDOUT, _STDERR))
        finally:
            os.close(spec)
        self._is_loaded = True

    def ongoing(self) -> float:
        """Return the number of requests at the port that the process works on."""
        return self._page.ongoing()

    async def listen(self, listener: socket.socket, keep_alive_seconds: int, serves: App) -> None:
        """Let the process accept connections. ``serves`` answers for Serve's own pages."""
        self._serves = serves
        await self._ask("listen", (listener.fileno(),), keep_alive_seconds=keep_alive_seconds)

    async def stop_accepting(self) -> None:
        """Close the listener, and return when all requests there have their answers."""
        await self._ask("stop accepting")

    async def configure(self, settings: Mapping[str, Any]) -> None:
        await self._ask("configure", **settings)

    def connect(self) -> socket.socket:
        """Return a connection to the process's HTTP server, for a request that Serve forwards."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._ask("connection", (theirs.fileno(),))
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        """Let the process write what is buffered, and end. Blocks the loop for that time."""
        if self._is_closing:
            return
        self._is_closing = True
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_reader(self._process)
        try:
            self._ask("close")
            self._read_until_the_end(time.monotonic() + _CLOSE_SECONDS)
        except OSError as error:
            _log.warning("The model's process did not end in order: %s", error)
        self._end()
        self._reap()
        self._release()

    def _read_until_the_end(self, deadline: float) -> None:
        waiting = select.poll()
        waiting.register(self._process, select.POLLIN)
        waiting.register(self._channel.fileno(), select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in waiting.poll(left * 1000)}
            if self._channel.fileno() in ready and not self._read_one():
                waiting.unregister(self._channel.fileno())
            elif self._process in ready:
                return

    def _ask(self, do: str, descriptors: Sequence[int] = (), /, **fields: Any) -> asyncio.Future[None]:
        """Send an order. The future has its outcome."""
        number = next(self._numbers)
        answer = self._answers[number] = self._loop.create_future()
        # Outcomes that nothing waits for.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            self._channel.send({"id": number, "do": do, "with": fields}, descriptors, wait=False)
        except OSError as error:
            del self._answers[number]
            answer.set_exception(ModelEnded(f"The model's process takes no messages: {error}"))
        return answer

    def _read(self) -> None:
        if not self._read_one():
            # Its end follows, or its own code has closed the channel.
            self._loop.remove_reader(self._channel.fileno())
            self._end()

    def _read_one(self) -> bool:
        """Read a message of the process, which runs the model's code and may send anything. False at the end."""
        try:
            received = self._channel.receive(wait=False)
        except BlockingIOError:
            return True
        except ValueError as error:
            _log.warning("A message of the model's process is unreadable: %s", error)
            return True
        if received is None:
            return False
        message, descriptors = received
        for descriptor in descriptors:
            os.close(descriptor)
        if "line" in message:
            write_log_line(_SERVES_LOG, message["line"])
        elif "page" in message:
            self._start(self._answer_page(message["page"], str(message.get("path"))))
        else:
            self._take_outcome(message)
        return True

    def _take_outcome(self, message: Mapping[str, Any]) -> None:
        number, error = message.get("id"), message.get("error")
        answer = self._answers.pop(number, None) if isinstance(number, int) else None
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(RuntimeError(str(error)))

    def _has_message(self) -> bool:
        return bool(select.select([self._channel.fileno()], [], [], 0)[0])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_page(self, number: Any, path: str) -> None:
        """Answer one of Serve's own pages with Serve's answer."""
        if self._serves is None or not path.startswith("/-/"):
            return
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}
        await self._serves(scope, receive, send)
        start, *bodies = said
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        body = b"".join(each.get("body", b"") for each in bodies).decode()
        # If it has ended meanwhile, this process ends, too.
        with contextlib.suppress(OSError):
            self._channel.send({"page": number, "status": start["status"], "headers": headers, "body": body}, wait=False)

    def _ended(self) -> None:
        # What it said last, such as why it could not load. Its end of the channel is closed, if no child of it has it.
        while self._has_message() and self._read_one():
            pass
        self._loop.remove_reader(self._process)
        self._loop.remove_reader(self._channel.fileno())
        text = f"The model's process ended with {self._reap()}{self._output()}"
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ModelEnded(text))
        self._is_closing = True
        self._release()
        if self._is_loaded:
            _log.error("%s. The replica ends.", text)
            # As if the model had ended this process: Serve starts another replica at once.
            os.kill(os.getpid(), signal.SIGKILL)

    def _reap(self) -> str:
        result = os.waitid(os.P_PIDFD, self._process, os.WEXITED)
        if result is None or result.si_code == os.CLD_EXITED:
            return f"exit code {result.si_status if result is not None else '?'}"
        return f"signal {result.si_status}"

    def _output(self) -> str:
        """Return the end of what it wrote before it had the replica's files."""
        size = os.fstat(self._started.output).st_size
        text = os.pread(self._started.output, _MOST_OUTPUT, max(0, size - _MOST_OUTPUT)).decode(errors="replace").strip()
        return f": {text}" if text else ""

    def _release(self) -> None:
        self._channel.close()
        os.close(self._process)
        os.close(self._started.output)

    def _end(self) -> None:
        signal.pidfd_send_signal(self._process, signal.SIGKILL)

"""Brings an attempt to a node that does not see its directory, and keeps it in contact with the platform."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import tarfile
import time
from pathlib import Path

from job_entrypoints.attempt.record import AttemptUnreadable, remove_tree
from job_entrypoints.contract import GATEWAY_VARIABLE, attempt_token
from job_entrypoints.courier.contact import Contact, now
from job_entrypoints.courier.courier import Courier
from job_entrypoints.courier.gateway import Gateway, Refused, Unreachable
from job_entrypoints.courier.node_directory import attempt_in, make_directory, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.record import Attempt

_PATIENCE_SECONDS = 60.0
"""Time for a gateway to answer the first time: it may just start again."""
_PAUSE_SECONDS = 1.0
_RAY_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - a name
_RAY_TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - a name
_RAY_TOKEN_DEFAULT = ".ray/auth_token"  # noqa: S105 - a path


class RemoteAttempt:
    """An attempt whose files are on this node only, and its courier."""

    def __init__(self, attempt: Attempt, gateway: Gateway, contact: Contact) -> None:
        self.attempt = attempt
        self.contact = contact
        self._gateway = gateway
        self._courier_pid = -1

    def start_courier(self, *, pause_seconds: float = 0.0) -> None:
        """Start the process that carries files and stops. It has a session of its own, and outlives signals to the job."""
        anchor = os.getpid()
        pid = os.fork()
        if pid:
            self._courier_pid = pid
            return
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            time.sleep(pause_seconds)
            Courier(self.attempt.directory, self._gateway, self.contact).run(anchor)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - this copy of the anchor must not go on
            os.write(2, f"[raylift] the courier failed: {type(error).__name__}: {error}\n".encode())
        os._exit(1)

    def was_courier(self, pid: int) -> bool:
        """True if this child, which has ended, was the courier."""
        return pid == self._courier_pid

    def finish(self) -> None:
        """Carry the end of the attempt to the platform, and remove its files. The script has ended."""
        self._end_courier()
        if Courier(self.attempt.directory, self._gateway, self.contact).deliver():
            remove_tree(self.attempt.directory)
        else:
            _say(f"the platform did not take the end of this attempt; its files stay in {self.attempt.directory}")

    def _end_courier(self) -> None:
        try:
            if os.waitpid(self._courier_pid, os.WNOHANG)[0] == 0:
                os.kill(self._courier_pid, signal.SIGKILL)
                os.waitpid(self._courier_pid, 0)
        except ChildProcessError:
            return  # It ended before, and its number may be another process's now.


def fetch(origin: str) -> RemoteAttempt:
    """Bring the attempt to this node, whose directory is ``origin`` on the platform's machine.

    Raises:
        AttemptUnreadable: the platform does not answer, or refuses.
    """
    submission_id = os.path.basename(origin)
    gateway = Gateway(os.environ[GATEWAY_VARIABLE], submission_id, attempt_token(ray_token(), submission_id))
    directory = make_directory(submission_id)
    give_up = time.monotonic() + _PATIENCE_SECONDS
    try:
        while True:
            try:
                return _fetch_into(directory, origin, gateway)
            except (OSError, tarfile.TarError, http.client.HTTPException, Unreachable) as error:
                if time.monotonic() > give_up:
                    raise AttemptUnreadable(_sentence(origin, str(error))) from error
            except Refused as error:
                raise AttemptUnreadable(_sentence(origin, f"{gateway.url} refuses it: {error}")) from error
            finally:
                gateway.close()
            time.sleep(_PAUSE_SECONDS)
            directory = make_directory(submission_id)
    except BaseException:
        remove_tree(directory)
        raise


def _fetch_into(directory: str, origin: str, gateway: Gateway) -> RemoteAttempt:
    sent_at = now()
    unpack(gateway.bundle(os.uname().nodename), directory)  # pyright: ignore[reportArgumentType] - it reads like a file
    gateway.close()
    attempt = attempt_in(directory, origin)
    contact = Contact(attempt.contact_seconds, sent_at)
    # Unpacking may take long. Only an attempt that still counts may start its script.
    Courier(directory, gateway, contact).send(with_end=False)
    if contact.is_lost:
        raise AttemptUnreadable(f"{attempt.submission_id}: {contact.sentence()}")
    return RemoteAttempt(attempt, gateway, contact)


def ray_token() -> str:
    """Ray's token, as Ray itself finds it.

    Raises:
        AttemptUnreadable: this node has none.
    """
    value = os.environ.get(_RAY_TOKEN)
    if value:
        return value.strip()
    path = Path(os.environ.get(_RAY_TOKEN_FILE) or Path.home() / _RAY_TOKEN_DEFAULT)
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise AttemptUnreadable(f"Ray's token, {path}, cannot be read: {error}") from error


def _sentence(origin: str, reason: str) -> str:
    return f"it does not see {origin}, and could not fetch the attempt: {reason}"


def _say(text: str) -> None:
    print(f"[raylift] {text}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is Ray's job log

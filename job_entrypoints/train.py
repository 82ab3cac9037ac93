"""``python -m job_entrypoints.train``: the wrapper that Ray runs.

``--attempt-dir DIR`` runs an attempt that Raylift's supervisor prepared.
``--script my_model.py …`` runs a script that was handed straight to Ray (``ray job submit``); see direct_submission.py.
"""

from __future__ import annotations

import os
import signal
import sys

from job_entrypoints.attempt.progress import Progress
from job_entrypoints.attempt.record import AttemptUnreadable, read_attempt
from job_entrypoints.contract import (
    ATTEMPT_DIR_OPTION,
    EXIT_NODE_NOT_PREPARED,
    EXIT_WRAPPER_ERROR,
    GATEWAY_VARIABLE,
    NODE_NOT_PREPARED,
    WRAPPER_ERROR,
)
from job_entrypoints.linux.process_control import become_subreaper, mark_attempt
from job_entrypoints.linux.process_tree import end_at_once, send
from job_entrypoints.monitor import FORWARDED, run_attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.record import Attempt
    from job_entrypoints.courier.remote_attempt import RemoteAttempt

_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_COURIER_PAUSE_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    remote = None
    try:
        if _is_prepared(arguments) and not _is_in_sight(arguments[1]) and GATEWAY_VARIABLE in os.environ:
            from job_entrypoints.courier.remote_attempt import fetch  # Only other nodes pay for its imports.

            remote = fetch(arguments[1])
        attempt = remote.attempt if remote is not None else _attempt(arguments)
    except AttemptUnreadable as error:
        # stderr is Ray's job log.
        if _is_prepared(arguments) and not _is_in_sight(arguments[1]):
            print(f"{NODE_NOT_PREPARED} {os.uname().nodename}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return EXIT_NODE_NOT_PREPARED
        print(f"[raylift] {error}", file=sys.stderr, flush=True)  # noqa: T201
        if _is_prepared(arguments):
            Progress(arguments[1]).finished(WRAPPER_ERROR, message=str(error))
        return EXIT_WRAPPER_ERROR
    return anchor(attempt, remote)


def anchor(attempt: Attempt, remote: RemoteAttempt | None = None) -> int:
    """Start the monitor and wait for it. If the monitor is killed, end its processes and write the record.

    ``remote``: this node does not see the attempt's directory, so a courier carries its files.
    """
    # Blocked until both processes have their handlers.
    signal.pthread_sigmask(signal.SIG_SETMASK, _FORWARDED_SIGNALS)
    become_subreaper()
    mark_attempt(attempt.submission_id)
    own_pid = os.getpid()
    if remote is not None:
        remote.start_courier()
    monitor = os.fork()
    if monitor == 0:
        # Its own session: Ray kills our process group when its job supervisor is lost. Then the monitor cleans up.
        os.setsid()
        os._exit(run_attempt(attempt, own_pid, remote.contact if remote is not None else None))
    for number in _FORWARDED_SIGNALS:
        signal.signal(number, lambda *_: send([monitor], FORWARDED))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    status = _wait_for(monitor, remote)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else _end_without_monitor(attempt, os.WTERMSIG(status))
    if remote is not None:
        remote.finish()
    return code


def _end_without_monitor(attempt: Attempt, killed_by: int) -> int:
    end_at_once(os.getpid(), _reap)
    message = f"the monitor of the attempt was killed by signal {killed_by}; its script was ended"
    print(f"[raylift] {message}", flush=True)  # noqa: T201 - stdout is Ray's job log
    Progress(attempt.directory).finished(WRAPPER_ERROR, message=message)
    return EXIT_WRAPPER_ERROR


def _attempt(arguments: list[str]) -> Attempt:
    if _is_prepared(arguments):
        return read_attempt(arguments[1])
    # Only this form pays for argparse.
    from job_entrypoints.attempt.direct_submission import prepare_attempt

    return prepare_attempt(arguments)


def _is_prepared(arguments: list[str]) -> bool:
    return len(arguments) == 2 and arguments[0] == ATTEMPT_DIR_OPTION


def _is_in_sight(directory: str) -> bool:
    return os.access(directory, os.R_OK | os.X_OK)


def _wait_for(monitor: int, remote: RemoteAttempt | None) -> int:
    while True:
        pid, status = os.waitpid(-1, os.WUNTRACED)
        if remote is not None and remote.was_courier(pid) and not os.WIFSTOPPED(status):
            # Killed from outside. The next one asks what the platform has, and goes on there.
            remote.start_courier(pause_seconds=_COURIER_PAUSE_SECONDS)
        if pid == monitor and os.WIFSTOPPED(status):
            # Its script stopped it, to escape from the limits.
            os.kill(monitor, signal.SIGCONT)
        elif pid == monitor:
            for number in _FORWARDED_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            return status


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)

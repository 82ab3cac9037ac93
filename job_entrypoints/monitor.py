"""Keeps one attempt: starts the script, copies its output, watches over it, ends what it leaves, writes the record.

One thread and one loop. All that can take long (a hostile script's output, a slow reader of ours) is cut into small steps, so
that memory is looked at every few milliseconds whatever happens.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time

from job_entrypoints.attempt.output import Output
from job_entrypoints.attempt.progress import (
    DISK_LIMIT,
    ENVIRONMENT_ERROR,
    EXIT_ENVIRONMENT_ERROR,
    EXIT_OVER_A_LIMIT,
    EXIT_STOPPED,
    EXIT_WRAPPER_ERROR,
    EXITED,
    OVER_A_LIMIT,
    SIGNALED,
    STOPPED,
    WRAPPER_ERROR,
    Progress,
    Usage,
)
from job_entrypoints.attempt.temporary_directory import remove_tree
from job_entrypoints.limits.enforcement import Limits
from job_entrypoints.linux.process_control import become_subreaper, go_first
from job_entrypoints.linux.process_tree import descendants, end_at_once, kill_group_of, send
from job_entrypoints.script.environment_check import broken_promise
from job_entrypoints.script.notes import (
    AUTOLOG_FAILURE,
    ENDED_AT,
    ERROR,
    HELD_BY,
    LIBRARY,
    NOTES,
    TRACKING_URI,
    read_notes,
    text_of,
)
from job_entrypoints.script.process import start_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from job_entrypoints.attempt.record import Attempt

_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_STOP_POLL_SECONDS = 0.08
_LEFTOVER_GRACE_SECONDS = 1.0
_RAY_SECONDS = 2.0
"""How long Ray, which is told of a stop after the stop file is there, may take to send its SIGTERM to the whole tree."""
_FORWARDING_SECONDS = 0.3

FORWARDED = signal.SIGHUP
"""Sent by the anchor for a SIGTERM. Ray sends its own to the monitor and the script as well; others only to the anchor."""


def keep(attempt: Attempt, anchor_pid: int) -> int:
    """Run the attempt to its end. Returns the exit code of the wrapper; progress.json is written in every case."""
    monitor = Monitor(attempt, anchor_pid)
    try:
        return monitor.run()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the tree has to end and the record to be written
        import traceback  # only a fault of ours pays for it

        traceback.print_exc()
        end_at_once(os.getpid(), monitor.reap)
        monitor.progress.finished(WRAPPER_ERROR, message=f"{type(error).__name__}: {error}", usage=monitor.usage)
        return EXIT_WRAPPER_ERROR


class Monitor:
    def __init__(self, attempt: Attempt, anchor_pid: int) -> None:
        self.attempt = attempt
        self.progress = Progress(attempt.directory)
        self.usage = Usage()
        self._anchor_pid = anchor_pid
        self._output = Output(attempt.directory, attempt.max_log_bytes)
        self._limits: Limits
        self._script_pid = -1
        self._status: int | None = None
        """The script's wait status, once it has ended."""
        self._why: tuple[str, str] | None = None
        """Outcome and message, when it is we who end it."""
        self._kill_at: float | None = None
        """When SIGTERM has had its time."""
        self._terminate_at: float | None = None
        """When the tree is sent SIGTERM, if Ray has not done so by then."""
        self._tree_is_told = False
        """Ray has sent SIGTERM to every process of the tree: a second one would break off what the first began."""
        self._terminated = False
        self._pipe = -1
        self._wakeup = -1

    def run(self) -> int:
        if self.attempt.stop_requested():
            self.progress.finished(STOPPED, message="stopped before its script started")
            return EXIT_STOPPED
        wrong = broken_promise(self.attempt)
        if wrong is not None:
            self._output.say(wrong)
            self._output.finish()
            self.progress.finished(ENVIRONMENT_ERROR, message=wrong)
            return EXIT_ENVIRONMENT_ERROR
        become_subreaper()
        self._limits = Limits(self.attempt, os.getpid())
        self._listen()
        self._pipe, writer = os.pipe2(os.O_CLOEXEC)
        _widen(self._pipe)
        os.set_blocking(self._pipe, False)
        self._script_pid = start_script(self.attempt, writer, self._limits.confine)
        os.close(writer)
        go_first()
        self.progress.started(self._script_pid)
        self._watch()
        return self._finish()

    def reap(self) -> None:
        """Wait for every child that has ended; their processor time and their children's is counted here."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.usage.cpu_seconds += used.ru_utime + used.ru_stime
            if pid == self._script_pid:
                self._status = status

    def _listen(self) -> None:
        """Signals end the poll by a byte on a pipe."""
        self._wakeup, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._note_termination(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _note_termination(self, number: int) -> None:
        self._terminated = True
        self._tree_is_told = self._tree_is_told or number == signal.SIGTERM

    def _watch(self) -> None:
        """Until the script and all it started have ended."""
        look_at = stop_at = time.monotonic()
        while True:
            self._wait(min(look_at, stop_at, self._terminate_at or stop_at))
            self.reap()
            now = time.monotonic()
            if now >= look_at:
                breach, pause = self._limits.check()
                look_at = time.monotonic() + pause
                if breach is not None:
                    self._end(breach.outcome, breach.message)
            if now >= stop_at or self._terminated:
                stop_at = now + _STOP_POLL_SECONDS
                self._heed_orders()
            if self._terminate_at is not None and (now >= self._terminate_at or self._tree_is_told):
                self._terminate(now)
            if self._status is not None and not self._leftovers_remain(now):
                return
            if self._kill_at is not None and now >= self._kill_at:
                self._kill()
                return

    def _wait(self, until: float) -> None:
        """Sleep until there is output, a signal, or ``until``; copy one portion of output."""
        relay = self._output.relay
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        if relay.is_behind:
            poller.register(relay.descriptor, select.POLLOUT)
        elif self._pipe >= 0:
            poller.register(self._pipe, select.POLLIN)
        timeout = max(until - time.monotonic(), 0) * 1000
        for descriptor, _ in poller.poll(timeout):
            if descriptor == self._wakeup:
                os.read(self._wakeup, 4096)
            elif descriptor == self._pipe:
                self._copy()
            else:
                relay.flush()

    def _drain(self) -> None:
        """Copy what the pipe still holds, once nobody writes to it any more."""
        while self._copy():
            pass

    def _copy(self) -> bool:
        """Copy one portion of output. False when there is none now."""
        if self._pipe < 0:
            return False
        try:
            data = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._output.write(data)
            return True
        # Every writer has closed it; the script may well go on without output.
        os.close(self._pipe)
        self._pipe = -1
        return False

    def _heed_orders(self) -> None:
        if os.getppid() != self._anchor_pid:
            self._end(WRAPPER_ERROR, "the process that Ray started was killed from outside")
        elif self._why is None and self._status is None and (self._terminated or self.attempt.stop_requested()):
            asked = self.attempt.stop_requested()
            self._end(STOPPED, f"stopped: {self.attempt.stop_cause() or 'as asked'}" if asked else "stopped by SIGTERM")
        self._terminated = False

    def _end(self, outcome: str, message: str) -> None:
        """Begin to end the tree: with grace if it was asked for, at once otherwise."""
        if self._why is None:
            self._why = (outcome, message)
        if outcome == STOPPED:
            self._output.say(f"{message}: SIGTERM, {self.attempt.stop_grace_seconds:g} s to save, then SIGKILL")
            self._terminate_at = time.monotonic() + (_FORWARDING_SECONDS if self._terminated else _RAY_SECONDS)
        else:
            self._kill()
            self._drain()
            self._output.say(message)
            self._kill_at = time.monotonic()

    def _terminate(self, now: float) -> None:
        """The grace period begins."""
        self._terminate_at = None
        if not self._tree_is_told:
            send(descendants(os.getpid()), signal.SIGTERM)
        self._kill_at = now + self.attempt.stop_grace_seconds

    def _leftovers_remain(self, now: float) -> bool:
        """After the script's end: whether something it started still runs. It is given a moment, then killed.

        Of a script that is stopped it has the whole grace period: a shell dies at once, and what it ran saves its work.
        """
        leftovers = descendants(os.getpid())
        if self._why is not None:
            return bool(leftovers)
        if leftovers and (self._kill_at is None or self._kill_at > now + _LEFTOVER_GRACE_SECONDS):
            send(leftovers, signal.SIGTERM)
            self._kill_at = now + _LEFTOVER_GRACE_SECONDS
        return bool(leftovers)

    def _kill(self) -> None:
        self._limits.kill()
        kill_group_of(self._script_pid, descendants(os.getpid()))
        survivors = end_at_once(os.getpid(), self.reap)
        if survivors:
            self._output.say(f"processes that cannot be killed are left behind: {survivors}")

    def _finish(self) -> int:
        self._drain()
        breach = self._limits.at_the_end() if self._why is None else None
        if breach is not None:
            self._end(breach.outcome, breach.message)
        self._limits.close(self.usage)
        status = self._status if self._status is not None else 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        notes = read_notes(self.attempt.path(NOTES))
        message = (text_of(notes, ERROR) or self._output.last_line()) if code else None
        if self._why is not None:
            outcome, message = self._why
        elif number is not None:
            outcome, message = SIGNALED, f"the script was ended by {_signal_name(number)}"
        else:
            outcome = EXITED
        self._output.finish()
        self.progress.finished(
            outcome,
            exit_code=code,
            signal=number,
            message=message,
            held_by=self._held_by(notes) if outcome == STOPPED else None,
            tracking_uri=text_of(notes, TRACKING_URI),
            library=text_of(notes, LIBRARY),
            autolog_failure=text_of(notes, AUTOLOG_FAILURE),
            usage=self.usage,
        )
        self._remove_scratch(outcome)
        own = {STOPPED: EXIT_STOPPED, WRAPPER_ERROR: EXIT_WRAPPER_ERROR, **dict.fromkeys(OVER_A_LIMIT, EXIT_OVER_A_LIMIT)}
        return own.get(outcome, code if code is not None else 128 + (number or 0))

    def _held_by(self, notes: dict[str, Any]) -> str | None:
        """That the main thread had ended, and what kept the process; None where it was at work to the last."""
        holders, ended_at = text_of(notes, HELD_BY), notes.get(ENDED_AT)
        if holders is None or not isinstance(ended_at, (int, float)):
            return None
        error = text_of(notes, ERROR)
        end = f"ended with {error}" if error else "come to its end"
        return f"the script had {end} after {self.progress.seconds_until(ended_at):.0f} s, but {holders} kept its process"

    def _remove_scratch(self, outcome: str) -> None:
        """Temporary files end with the script; what was too much for the disk goes altogether. The record is there already."""
        unwanted = [self.attempt.temporary_directory]
        if outcome == DISK_LIMIT and not self.attempt.from_ray:
            unwanted.append(self.attempt.working_directory)
        for directory in unwanted:
            remove_tree(directory)


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except PermissionError:
        # The user's share of pipe memory is used up: the usual size does, with more steps.
        return


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

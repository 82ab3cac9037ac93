"""Runs one attempt: starts the script, copies its output, enforces its limits, ends its processes, writes the record.

One thread and one loop. Work that can take long (a hostile script's output, a slow reader of it) is cut into small steps, so
that memory is checked every few milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

from job_entrypoints.attempt.notes import AUTOLOG_FAILURE, ENDED_AT, ERROR, HELD_BY, LIBRARY, TRACKING_URI, read_notes, text_of
from job_entrypoints.attempt.output import Output
from job_entrypoints.attempt.progress import Progress, Usage
from job_entrypoints.attempt.record import remove_tree
from job_entrypoints.contract import (
    DATA_ERROR,
    DISK_LIMIT,
    ENVIRONMENT_ERROR,
    EXIT_DATA_ERROR,
    EXIT_ENVIRONMENT_ERROR,
    EXIT_OVER_A_LIMIT,
    EXIT_STOPPED,
    EXIT_WRAPPER_ERROR,
    EXITED,
    NOTES_FILE,
    OVER_A_LIMIT,
    SIGNALED,
    STOPPED,
    WRAPPER_ERROR,
)
from job_entrypoints.limits.enforcement import Limits
from job_entrypoints.limits.live_usage import LiveUsage
from job_entrypoints.linux.process_control import become_subreaper, go_first
from job_entrypoints.linux.process_tree import descendants, end_at_once, kill_group_of, send
from job_entrypoints.sandbox.environment import interpreter, overlay_of_job
from job_entrypoints.script.environment_check import environment_mismatch
from job_entrypoints.script.process import short_temporary_directory, start_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from job_entrypoints.attempt.masking import Mask
    from job_entrypoints.attempt.record import Attempt
    from job_entrypoints.courier.contact import Contact
    from job_entrypoints.sandbox.confinement import Sandbox

_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_STOP_POLL_SECONDS = 0.08
_ORPHAN_GRACE_SECONDS = 1.0
_RAY_SECONDS = 2.0
"""Time that Ray may take to send SIGTERM to the whole tree. The supervisor asks it to after writing the stop file."""
_FORWARDING_SECONDS = 0.3

FORWARDED = signal.SIGHUP
"""Sent by the anchor for a SIGTERM. Ray sends SIGTERM to the monitor and the script too; others send it to the anchor only."""


def run_attempt(attempt: Attempt, anchor_pid: int, contact: Contact | None = None) -> int:
    """Run the attempt to its end. Returns the exit code of the wrapper; progress.json is written in every case.

    ``contact``: with the platform, for an attempt on another node.
    """
    monitor = Monitor(attempt, anchor_pid, contact)
    try:
        return monitor.run()
    except BaseException as error:  # noqa: BLE001 - after any error the tree must end and the record must be written
        import traceback  # Needed only after an error of the wrapper itself.

        traceback.print_exc()
        end_at_once(os.getpid(), monitor.reap)
        monitor.progress.finished(WRAPPER_ERROR, message=f"{type(error).__name__}: {error}", usage=monitor.usage)
        return EXIT_WRAPPER_ERROR


class Monitor:
    def __init__(self, attempt: Attempt, anchor_pid: int, contact: Contact | None = None) -> None:
        self.attempt = attempt
        self._contact = contact
        self.progress = Progress(attempt.directory)
        self.usage = Usage()
        self._anchor_pid = anchor_pid
        self._mask = _mask_of(attempt)
        self._output = Output(attempt.directory, attempt.max_log_bytes, mask=self._mask)
        self._limits: Limits
        self._sandbox: Sandbox | None = None
        self._script_pid = -1
        self._status: int | None = None
        """The script's wait status, once it has ended."""
        self._verdict: tuple[str, str] | None = None
        """Outcome and message, if the monitor ends the script."""
        self._kill_at: float | None = None
        self._ended_at: float | None = None
        """Time at which the script was found ended."""
        """End of the grace period after SIGTERM."""
        self._terminate_at: float | None = None
        """Time to send SIGTERM to the tree, if Ray has not done so."""
        self._ray_terminated_tree = False
        """Ray has sent SIGTERM to every process. A second one would interrupt the script's handling of the first."""
        self._terminated = False
        self._pipe = -1
        self._wakeup = -1

    def run(self) -> int:
        if self.attempt.stop_requested():
            self.progress.finished(STOPPED, message="stopped before its script started")
            return EXIT_STOPPED
        mismatch = environment_mismatch(self.attempt, (overlay_of_job() if self.attempt.is_sandboxed else None) or sys.prefix)
        if mismatch is not None:
            self._output.say(mismatch)
            self._output.finish()
            self.progress.finished(ENVIRONMENT_ERROR, message=mismatch)
            return EXIT_ENVIRONMENT_ERROR
        if self.attempt.data and (code := self._without_data()) is not None:
            return code
        become_subreaper()
        self._limits = Limits(self.attempt, os.getpid())
        self._listen()
        self._pipe, writer = os.pipe2(os.O_CLOEXEC)
        _widen(self._pipe)
        os.set_blocking(self._pipe, False)
        if self.attempt.is_sandboxed:
            # Jobs of the cluster do not pay for it.
            from job_entrypoints.sandbox.confinement import Sandbox

            self._sandbox = Sandbox(self.attempt, interpreter(self.attempt))
        self._script_pid = start_script(self.attempt, writer, self._limits.confine, self._sandbox)
        os.close(writer)
        go_first()
        self.progress.started(self._script_pid)
        self._watch()
        return self._finish()

    def _without_data(self) -> int | None:
        """Provide the attempt's data. Returns the exit code of an attempt that has to end without it."""
        # Jobs without data do not pay for the import.
        from job_entrypoints.data.fetching import DataStopped, DataUnreachable, DataWrong
        from job_entrypoints.data.inputs import provide_data

        try:
            provide_data(self.attempt, self._output.say, self._may_start)
        except DataStopped:
            outcome, code, message = STOPPED, EXIT_STOPPED, "stopped before its script started"
        except DataWrong as error:
            outcome, code, message = DATA_ERROR, EXIT_DATA_ERROR, str(error)
        except DataUnreachable as error:
            outcome, code, message = WRAPPER_ERROR, EXIT_WRAPPER_ERROR, str(error)
        else:
            return None
        self._output.say(message)
        self._output.finish()
        self.progress.finished(outcome, message=message)
        return code

    def _may_start(self) -> bool:
        is_cut_off = self._contact is not None and self._contact.is_over
        return not is_cut_off and os.getppid() == self._anchor_pid and not self.attempt.stop_requested()

    def reap(self) -> None:
        """Wait for every child that has ended, and add up the CPU time of it and its children."""
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
        """Install signal handlers. A signal ends the poll by a byte on a pipe."""
        self._wakeup, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._note_termination(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _note_termination(self, number: int) -> None:
        self._terminated = True
        self._ray_terminated_tree = self._ray_terminated_tree or number == signal.SIGTERM

    def _watch(self) -> None:
        """Loop until the script and every process that it started have ended."""
        check_at = stop_at = time.monotonic()
        live = LiveUsage(self.attempt.directory, os.getpid())
        while True:
            self._wait(min(check_at, stop_at, self._terminate_at or stop_at))
            self.reap()
            now = time.monotonic()
            if now >= check_at:
                breach, pause = self._limits.check()
                check_at = time.monotonic() + pause
                if breach is not None:
                    self._end(breach.outcome, breach.message)
            live.write_when_due(self._limits.memory_now, self.usage.cpu_seconds)
            if now >= stop_at or self._terminated:
                stop_at = now + _STOP_POLL_SECONDS
                self._check_for_stop()
            if self._terminate_at is not None and (now >= self._terminate_at or self._ray_terminated_tree):
                self._terminate(now)
            if self._status is not None and not self._orphans_remain(now):
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
        """Copy the rest of the pipe, once every writer has ended."""
        while self._copy():
            pass

    def _copy(self) -> bool:
        """Copy one portion of output. Returns False when there is none now."""
        if self._pipe < 0:
            return False
        try:
            data = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._output.write(data)
            return True
        # Every writer has closed it. The script may go on without output.
        os.close(self._pipe)
        self._pipe = -1
        return False

    def _check_for_stop(self) -> None:
        if os.getppid() != self._anchor_pid:
            self._end(WRAPPER_ERROR, "the process that Ray started was killed from outside")
        elif self._contact is not None and self._contact.is_over:
            # At once, even in the grace period of a stop: the job may run elsewhere soon.
            self._end(WRAPPER_ERROR, self._contact.sentence())
        elif self._verdict is None and self._may_be_stopped() and (self._terminated or self.attempt.stop_requested()):
            asked = self.attempt.stop_requested()
            self._end(STOPPED, f"stopped: {self.attempt.stop_cause() or 'as asked'}" if asked else "stopped by SIGTERM")
        self._terminated = False

    def _may_be_stopped(self) -> bool:
        """Return True while the script runs, and for a moment after SIGTERM has ended it: the word of a stop may come later."""
        if self._status is None:
            return True
        was_terminated = os.WIFSIGNALED(self._status) and os.WTERMSIG(self._status) == signal.SIGTERM
        return was_terminated and self._ended_at is not None and time.monotonic() < self._ended_at + _FORWARDING_SECONDS

    def _end(self, outcome: str, message: str) -> None:
        """Begin to end the tree: a stop leaves time to save, a breach kills at once."""
        if self._verdict is None:
            self._verdict = (outcome, message)
        if outcome == STOPPED:
            self._output.say(f"{message}: SIGTERM, {self.attempt.stop_grace_seconds:g} s to save, then SIGKILL")
            self._terminate_at = time.monotonic() + (_FORWARDING_SECONDS if self._terminated else _RAY_SECONDS)
        else:
            self._kill()
            self._drain()
            self._output.say(message)
            self._kill_at = time.monotonic()

    def _terminate(self, now: float) -> None:
        """Begin the grace period."""
        self._terminate_at = None
        if not self._ray_terminated_tree:
            send(descendants(os.getpid()), signal.SIGTERM)
        self._kill_at = now + self.attempt.stop_grace_seconds

    def _orphans_remain(self, now: float) -> bool:
        """After the script's end: true while a process that it started still runs. Those get a second, then SIGKILL.

        If the script was stopped they keep the whole grace period: a shell dies at once, while its child saves its work.
        """
        orphans = descendants(os.getpid())
        if self._ended_at is None:
            self._ended_at = now
        if orphans and self._verdict is None and self._may_be_stopped():
            self._check_for_stop()
            return True
        if self._verdict is None and orphans and (self._kill_at is None or self._kill_at > now + _ORPHAN_GRACE_SECONDS):
            send(orphans, signal.SIGTERM)
            self._kill_at = now + _ORPHAN_GRACE_SECONDS
        return bool(orphans)

    def _kill(self) -> None:
        self._limits.kill()
        kill_group_of(self._script_pid, descendants(os.getpid()))
        survivors = end_at_once(os.getpid(), self.reap)
        if survivors:
            self._output.say(f"processes that cannot be killed are left behind: {survivors}")

    def _finish(self) -> int:
        self._drain()
        breach = self._limits.at_the_end() if self._verdict is None else None
        if breach is not None:
            self._end(breach.outcome, breach.message)
        self._limits.close(self.usage)
        self.usage.isolated_by = self._sandbox.held() if self._sandbox is not None else []
        status = self._status if self._status is not None else 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self._output.end()
        notes = self._notes()
        message = (text_of(notes, ERROR) or self._output.last_line()) if code else None
        if self._verdict is not None:
            outcome, message = self._verdict
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
        self._remove_files(outcome)
        own = {STOPPED: EXIT_STOPPED, WRAPPER_ERROR: EXIT_WRAPPER_ERROR, **dict.fromkeys(OVER_A_LIMIT, EXIT_OVER_A_LIMIT)}
        return own.get(outcome, code if code is not None else 128 + (number or 0))

    def _notes(self) -> dict[str, Any]:
        """The script's notes, without values of its secrets. Then the file has served."""
        path = self.attempt.path(NOTES_FILE)
        notes = read_notes(path)
        mask = self._mask
        if mask is None:
            return notes
        remove_tree(path)
        return {name: mask.text(value) if isinstance(value, str) else value for name, value in notes.items()}

    def _held_by(self, notes: dict[str, Any]) -> str | None:
        """A sentence on what kept the process after its main thread had ended; None if the main thread was at work."""
        holders, ended_at = text_of(notes, HELD_BY), notes.get(ENDED_AT)
        if holders is None or not isinstance(ended_at, (int, float)):
            return None
        error = text_of(notes, ERROR)
        end = f"ended with {error}" if error else "come to its end"
        return f"the script had {end} after {self.progress.seconds_until(ended_at):.0f} s, but {holders} kept its process"

    def _remove_files(self, outcome: str) -> None:
        """Remove temporary files, and after a breach of the disk limit the working directory too. The record is written."""
        remove_tree(self.attempt.temporary_directory)
        if self.attempt.is_sandboxed and os.path.islink(link := short_temporary_directory(self.attempt)):
            os.unlink(link)
        if outcome == DISK_LIMIT and not self.attempt.from_ray:
            remove_tree(self.attempt.working_directory)


def _mask_of(attempt: Attempt) -> Mask | None:
    if not attempt.masked:
        return None
    from job_entrypoints.attempt.masking import Mask  # Its imports cost jobs without secrets some milliseconds.

    return Mask([attempt.environment[name] for name in attempt.masked])


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except PermissionError:
        # The user's share of pipe memory is used up. The usual size needs more steps.
        return


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

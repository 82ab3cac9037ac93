"""Starts the script's process: in its own session, with low priority, the first to be killed if memory runs out."""

from __future__ import annotations

import os
import resource
import signal
import zlib

from job_entrypoints.contract import NOTES_FOLDER
from job_entrypoints.linux.process_control import die_with_parent
from job_entrypoints.sandbox.environment import interpreter, own_folders, sandbox_environment
from job_entrypoints.script import runner as script_runner
from job_entrypoints.script.environment import script_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from job_entrypoints.attempt.record import Attempt
    from job_entrypoints.sandbox.confinement import Sandbox

_CANNOT_START = 127
_SHELL = "/bin/sh"
"""Ray runs entrypoints with the same shell."""
_LONGEST_TMPDIR = 70
"""Characters of a path that leaves room for sockets in it: a socket's path has at most 107."""


def start_script(attempt: Attempt, output: int, confine: Callable[[], None], sandbox: Sandbox | None = None) -> int:
    """Start the script with ``output`` as its stdout and stderr. Returns its pid.

    ``confine`` is called in the new process before it becomes the script, to put its limits in place; then it enters the
    sandbox, if there is one.
    """
    result = [attempt.result_folder] if attempt.makes_result else []
    for folder in (attempt.working_directory, attempt.path(NOTES_FOLDER), *result):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = _make_temporary_directory(attempt)
    command = _command(attempt)
    environment = {**script_environment(attempt, os.environ), "TMPDIR": attempt.environment.get("TMPDIR", temporary)}
    if sandbox is not None:
        environment = sandbox_environment(attempt, environment)
        for folder in own_folders(attempt):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        sandbox.prepare()
    monitor = os.getpid()
    # Not subprocess: its import costs more than the rest of this function. This process has one thread, so fork is safe.
    pid = os.fork()
    if pid == 0:
        _become(command, environment, attempt, output, monitor, confine, sandbox)
    return pid


def _become(
    command: list[str],
    environment: dict[str, str],
    attempt: Attempt,
    output: int,
    monitor: int,
    confine: Callable[[], None],
    sandbox: Sandbox | None,
) -> NoReturn:
    try:
        os.setsid()  # os.killpg(0, …) in the script then hits the script only
        _prefer_for_oom_killer()
        if attempt.command is not None:
            os.nice(attempt.nice)
        confine()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if sandbox is not None:
            sandbox.enter()
        # After the last change of the user, which would undo it.
        die_with_parent(signal.SIGKILL)
        if os.getppid() != monitor:
            os._exit(_CANNOT_START)
        os.chdir(attempt.working_directory)
        # As in a shell: Python ignores SIGPIPE, and Ray blocks SIGINT in all its processes.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    except BaseException as error:  # noqa: BLE001 - this forked copy of the monitor must not go on
        os.write(2, f"[raylift] the script cannot be started: {error}\n".encode())
    os._exit(_CANNOT_START)


def _command(attempt: Attempt) -> list[str]:
    if attempt.command is not None:
        return [_SHELL, "-c", attempt.command]
    # The runner lowers its own priority once Python is up. Lowered before, Python's start would wait on a busy machine.
    runner = [interpreter(attempt), script_runner.__file__, str(attempt.nice), attempt.hook_instructions()]
    return [*runner, attempt.script_path, *attempt.args]


def short_temporary_directory(attempt: Attempt) -> str:
    """A short link to a long temporary directory of a sandboxed script, to which /proc of the monitor is closed."""
    return f"/tmp/rl-{zlib.crc32(attempt.directory.encode()):08x}-{os.geteuid()}"  # noqa: S108 - any folder of the script is long


def _make_temporary_directory(attempt: Attempt) -> str:
    """Make the directory. Returns the value of TMPDIR: its path, or a short alias that lasts as long as this process."""
    path = attempt.temporary_directory
    os.makedirs(path, mode=0o700, exist_ok=True)
    if len(path) <= _LONGEST_TMPDIR:
        return path
    if attempt.is_sandboxed:
        return _link(path, short_temporary_directory(attempt))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _link(path: str, link: str) -> str:
    """Make the link. Returns it, or the path where another user has taken its name."""
    try:
        # The sandbox may show the directory itself in the place of /tmp: so the link is in both.
        for place in (link, os.path.join(path, os.path.basename(link))):
            if os.path.islink(place):
                os.unlink(place)
            os.symlink(path, place)
    except OSError:
        return path
    return link


def _prefer_for_oom_killer() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, b"1000")
        os.close(descriptor)
    except OSError:
        return  # Some sandboxes lack the file. The limit does not depend on it.

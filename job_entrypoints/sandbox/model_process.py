"""Starts the process of a model, which has no connection to Ray, and confines it before any code of its environment runs.

``python -m job_entrypoints.sandbox.model_process REQUEST`` confines itself and becomes the model's Python. A replica's worker
starts it (raylift/ray_internals/setup_worker.py, serve_apps/model_server/ray/model_process.py), and keeps the other ends of
what the process inherits: a socket for messages, a page of counts, and the file of its output until it has loaded.
"""

from __future__ import annotations

import _socket  # The module socket takes some milliseconds of every worker's start.
import ctypes
import fcntl
import json
import os
import signal
import sys
import time

from job_entrypoints.sandbox.servers import caches_in, confine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MODULE = "serve_apps.model_server.process"
"""Becomes of the process."""
DESCRIPTORS = "RAYLIFT_MODEL_DESCRIPTORS"
"""Variable of the model's process: its socket and its page, ``5,6``."""
CONFINED, NOT_CONFINED = "RAYLIFT_CONFINED_BY", "RAYLIFT_NOT_CONFINED"
"""Variables of the model's process, as in raylift.domain.models.replica: what holds, or why nothing does."""
PAGE_BYTES = 4096

_RAYS = "RAY_"
_OWN_PREFIXES = (_RAYS, "RAYLIFT_MODEL_")
_PR_SET_PDEATHSIG = 1
_STDERR = 2


class Started:
    """A process that was started, by the ends that its parent keeps."""

    def __init__(self, pid: int, control: int, page: int, output: int) -> None:
        self.pid, self.control, self.page, self.output = pid, control, page, output

    def descriptors(self) -> tuple[int, int, int]:
        return self.control, self.page, self.output

    def as_text(self) -> str:
        """Return it for a program that this process becomes."""
        for descriptor in self.descriptors():
            os.set_inheritable(descriptor, True)
        return ",".join(map(str, (self.pid, *self.descriptors())))

    @classmethod
    def of(cls, text: str) -> Started:
        started = cls(*map(int, text.split(",")))
        for descriptor in started.descriptors():
            os.set_inheritable(descriptor, False)
        return started


def start(asked: Mapping[str, Any], python: str, overlay: str | None, environ: Mapping[str, str]) -> Started:
    """Start the process of a model. The calling thread has to live as long as it: the process ends with that thread.

    Args:
        asked: fields of a ``ModelProcess`` (raylift/domain/models/replica.py).
        python: the interpreter of the version's environment.
        overlay: folder of that environment; None for the base.
        environ: variables of this process. What is Ray's is left out.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    page = os.memfd_create("counts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(page, PAGE_BYTES)
    # A page that shrinks would end the parent by a signal.
    fcntl.fcntl(page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    # Copies without close-on-exec, for the time of this call.
    handed = [os.dup(descriptor) for descriptor in (theirs.fileno(), page)]
    for descriptor in handed:
        os.set_inheritable(descriptor, True)
    request = {**asked, "python": python, "descriptors": handed, "parent": os.getpid()}
    if overlay is not None:
        request["environment"] = {
            "PATH": f"{overlay}/bin{os.pathsep}{environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": overlay,
            **asked["environment"],
        }
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "job_entrypoints.sandbox.model_process", json.dumps(request)],
            without_rays(environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, _STDERR),
            ],
        )
    finally:
        for descriptor in handed:
            os.close(descriptor)
        theirs.close()
    return Started(pid, ours.detach(), page, output)


def without_rays(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without Ray's, such as its token and the addresses of its servers."""
    return {name: value for name, value in environ.items() if not name.startswith(_OWN_PREFIXES)}


def confine_process(confinement: Mapping[str, Any], temp: str, readable: Iterable[str] = ()) -> tuple[str, ...]:
    """Confine this process, which has one thread, to a version's paths and ports, and to its own folder ``temp``.

    Returns:
        What holds.
    """
    written: list[str] = confinement["write"]
    for directory in written:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    # Else the directory of the starting process, by which it would reach what is hidden.
    os.chdir(temp)
    paths = {"read": [*confinement["read"], *readable], "write": [*written, temp]}
    arguments: dict[str, Any] = {**confinement, **paths}
    return confine(**arguments)


def make_own_directory() -> str:
    """Make a directory for temporary files, and set the variables that lead libraries to it."""
    directory = f"{os.environ.get('TMPDIR', '/tmp')}/model-{os.getpid()}-{time.time_ns()}"  # noqa: S108 (mode 0700, and it must not exist)
    os.mkdir(directory, mode=0o700)
    os.environ["TMPDIR"] = directory
    for name, value in caches_in(directory).items():
        os.environ.setdefault(name, value)
    return directory


def end_with_parent(parent: int | None = None) -> None:
    """End this process by a signal when the thread that started it ends.

    Args:
        parent: the process that should have started it; if it has ended already, so does this one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def close_descriptors(keep: Iterable[int]) -> None:
    """Close all descriptors of this process but the standard ones and ``keep``."""
    kept = set(keep)
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:
        if descriptor > _STDERR and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                continue  # The listing's own, which is closed already.


def main() -> None:
    request: dict[str, Any] = json.loads(sys.argv[1])
    close_descriptors(request["descriptors"])
    end_with_parent(request["parent"])
    temp, python = make_own_directory(), request["python"]
    environment: dict[str, str] = request["environment"]
    if request["threads"] is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(request["threads"]))
    if request["confinement"] is not None:
        try:
            # Also the folder of an environment that Ray has made itself, by its ``uv`` field.
            held = confine_process(request["confinement"], temp, [os.path.dirname(os.path.dirname(python))])
        except (OSError, RuntimeError) as error:
            # It loads nothing and says why.
            os.environ[NOT_CONFINED] = str(error)
        else:
            os.environ[CONFINED] = ", ".join(held)
    os.environ[DESCRIPTORS] = ",".join(map(str, request["descriptors"]))
    # Again: new credentials may have cleared it.
    end_with_parent(request["parent"])
    # The version's own variables last: some of them change how a process starts. -P: the folder that the model writes holds no
    # modules of the platform.
    os.execve(python, [python, "-P", "-m", MODULE, request["name"]], {**os.environ, **environment})  # noqa: S606 (no shell)


if __name__ == "__main__":
    main()

"""Files that a sandboxed script may read and write, besides its own folders."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROGRAMS = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix",
    "/proc",
    "/sys",
    "/var/cache/fontconfig",
)
_CONFIGURATION = (
    *(
        "alternatives",
        "bash.bashrc",
        "ca-certificates",
        "ca-certificates.conf",
        "crypto-policies",
        "default/locale",
        "environment.d",
    ),
    *("fonts", "gai.conf", "group", "host.conf", "hostname", "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("locale.alias", "locale.conf", "localtime", "machine-id", "magic", "mime.types", "nsswitch.conf", "OpenCL", "os-release"),
    *("passwd", "pki", "profile", "protocols", "resolv.conf", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo"),
    *("timezone", "vulkan"),
)
"""Names in /etc that a script may read. The rest has keys and passwords, which root could read without any capability."""
_JAVA_CONFIGURATION = "java-"
"""Start of the names in /etc of Debian's Java environments: their management and logging read files there."""
_DEVICES = (
    *("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm"),
    *("dri", "kfd", "infiniband", "nvidia-caps", "dxg"),
)
_GPU_PREFIX = "nvidia"
_NOBODY = -1
"""No user: one that owns nothing."""


SHARED_MEMORY = "/dev/shm"  # noqa: S108 - POSIX shared memory
TEMPORARY = "/tmp"  # noqa: S108
SOCKETS = (
    *("/run/postgresql", "/run/user", "/run/dbus", "/run/docker.sock", "/run/containerd", "/run/podman"),
    "/tmp/.X11-unix",  # noqa: S108
)
"""Sockets with a path are no files to Landlock: those of the platform's user would answer a script of the same user."""


def readable(python: str, more: Iterable[str], protected: Iterable[str]) -> list[str]:
    """Paths to read and execute.

    Args:
        python: the script's interpreter.
        more: further paths, as set by the operator.
        protected: folders of the platform; nothing at or below them is in the answer.
    """
    prefix = os.path.dirname(os.path.dirname(python))
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The first entry is the folder in which the wrapper was started, which may be a user's home.
    imported = [path for path in sys.path[1:] if os.path.isabs(path)]
    home_of_python = os.path.dirname(os.path.dirname(os.path.realpath(python)))
    java = [name for name in os.listdir("/etc") if name.startswith(_JAVA_CONFIGURATION)]
    named = [*_PROGRAMS, *(f"/etc/{name}" for name in (*_CONFIGURATION, *java)), sys.prefix, sys.base_prefix, home_of_python]
    # An environment of the job lies in the platform's own folder.
    return [*outside((*named, package, *imported, *more), protected), prefix]


def outside(paths: Iterable[str], protected: Iterable[str]) -> set[str]:
    """Paths without what is ``protected``: a folder that has something of it inside is replaced by its other entries."""
    hidden = [os.path.realpath(path) for path in protected]
    return {part for path in paths for part in _outside(os.path.realpath(path), hidden)}


def devices() -> list[str]:
    """Devices to read and write, GPUs among them. CUDA_VISIBLE_DEVICES chooses among these."""
    try:
        gpus = [name for name in os.listdir("/dev") if name.startswith(_GPU_PREFIX)]
    except OSError:
        gpus = []
    return [f"/dev/{name}" for name in {*_DEVICES, *gpus}]


def closed_above(paths: Iterable[str], user: int = _NOBODY) -> dict[str, list[str]]:
    """Map each highest folder that ``user``, with no group, may not enter to those of ``paths`` that lie below it."""
    found: dict[str, list[str]] = {}
    for path in paths:
        folder = next((folder for folder in _parents(path) if not _is_open(folder, user)), None)
        if folder is not None:
            found.setdefault(folder, []).append(path)
    return found


def is_closed_python(python: str) -> bool:
    """True where other users may not enter the folder of the interpreter or of the base itself."""
    folders = (os.path.dirname(os.path.dirname(python)), sys.prefix, sys.base_prefix)
    return not all(_is_open(folder, _NOBODY) for folder in folders)


def below(folder: str, paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that lie in ``folder``, by their names."""
    return [path for path in paths if path.startswith(folder.rstrip("/") + "/")]


def _outside(path: str, hidden: list[str]) -> Iterator[str]:
    """Yield ``path``, or the parts of it that have nothing hidden in them."""
    if any(_is_below(path, each) for each in hidden):
        return
    if not any(_is_below(each, path) for each in hidden):
        if os.path.exists(path):
            yield path
        return
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        part = os.path.join(path, name)
        if not os.path.islink(part):
            yield from _outside(part, hidden)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _parents(path: str) -> list[str]:
    """The folders above a path, from the root on."""
    parents: list[str] = []
    while (parent := os.path.dirname(path)) != path:
        parents.append(path := parent)
    return parents[::-1]


def _is_open(folder: str, user: int) -> bool:
    try:
        found = os.stat(folder)
        return bool(found.st_mode & (0o100 if found.st_uid == user else 0o001))
    except OSError:
        return True

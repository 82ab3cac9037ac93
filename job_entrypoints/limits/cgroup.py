"""A cgroup v2 of the attempt's own, where this process may make one: the kernel then holds the script to its limits.

Where there is only v1, its ``pids`` controller at least bounds the number of processes: no watchdog outruns a fork bomb. The
script's process joins it before it starts; the wrapper stays outside, so that it can tell how the script ended. Nobody has to
prepare anything: systemd hands a user's services and sessions such a place, and root has one outside of containers.
Files and their meaning: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/pids.rst.
"""

# ruff: noqa: PTH102, PTH106, PTH118, PTH120, PTH123, PTH208
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os
import time

_PREFIX = "raylift-"
_CPU_PERIOD_MICROSECONDS = 100_000
_ABANDONED_SECONDS = 3600.0
_REMOVE_SECONDS = 1.0


class Place:
    """A cgroup in which others can be made, and the controllers that these then have."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path = path
        self.controllers = controllers


class Cgroup:
    """One attempt's. ``memory``, ``pids`` and ``cpu`` say which limits the kernel holds."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path = path
        self.memory = "memory" in controllers
        self.pids = "pids" in controllers
        self.cpu = "cpu" in controllers

    def join(self) -> None:
        """Move the calling process in. What it starts from now on is in it, too."""
        _write(self.path, "cgroup.procs", "0")

    def ran_out_of_memory(self) -> bool:
        return self.memory and _read_field(self.path, "memory.events", "oom_kill") > 0

    def was_refused_a_process(self) -> bool:
        return self.pids and _read_field(self.path, "pids.events", "max") > 0

    def peak_memory_bytes(self) -> int:
        """The kernel's own count, files that it keeps in memory included. Before Linux 5.19: what it is at present."""
        return _read_number(self.path, "memory.peak") or _read_number(self.path, "memory.current")

    def peak_tasks(self) -> int:
        return _read_number(self.path, "pids.peak") or _read_number(self.path, "pids.current")

    def kill(self) -> None:
        """End everything in it at once, however fast it forks."""
        if os.path.exists(os.path.join(self.path, "cgroup.kill")):  # noqa: PTH110
            _write(self.path, "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove it, once what was in it has ended. What is left empty an attempt that starts an hour later removes."""
        give_up = time.monotonic() + _REMOVE_SECONDS
        while not _removed(self.path) and time.monotonic() < give_up:
            time.sleep(0.005)


def make_cgroup(name: str, place: Place | None, *, memory_bytes: int, max_tasks: int, cpus: float) -> Cgroup | None:
    """A cgroup with these limits (0: none) in ``place``; None where that cannot be, and others have to hold them."""
    if place is None:
        return None
    path = os.path.join(place.path, _PREFIX + name)
    try:
        _remove_abandoned(place.path)
        os.mkdir(path)
        if "memory" in place.controllers and memory_bytes:
            _write(path, "memory.max", str(memory_bytes))
            _write(path, "memory.oom.group", "1")
            if os.path.exists(os.path.join(path, "memory.swap.max")):  # noqa: PTH110 - a kernel without swap has no such file
                _write(path, "memory.swap.max", "0")
        if "pids" in place.controllers and max_tasks:
            _write(path, "pids.max", str(max_tasks))
        if "cpu" in place.controllers and cpus:
            _write(path, "cpu.max", f"{int(cpus * _CPU_PERIOD_MICROSECONDS)} {_CPU_PERIOD_MICROSECONDS}")
    except OSError:
        # Not ours to make after all, or a controller that a sandbox shows but does not let be set.
        _removed(path)
        return None
    given = {"memory": memory_bytes, "pids": max_tasks, "cpu": cpus}
    return Cgroup(path, frozenset(name for name in place.controllers if given.get(name)))


def find_place(process: str = "/proc/self") -> Place | None:
    """The nearest cgroup above this process that hands the memory controller on and lets this user make others in it.

    None: there is no cgroup v2, its controllers are still with v1, or it is not ours to write.
    """
    mounted = _mount_of_cgroup2(f"{process}/mountinfo")
    own = _own_cgroup(f"{process}/cgroup")
    if mounted is None or own is None:
        return None
    path = os.path.normpath(mounted + own)
    while path.startswith(mounted):
        try:
            with open(os.path.join(path, "cgroup.subtree_control"), encoding="ascii") as file:
                controllers = frozenset(file.read().split())
        except OSError:
            return None
        if "memory" in controllers and _is_ours(path):
            return Place(path, controllers)
        path = os.path.dirname(path)
    return None


def find_pids_place(process: str = "/proc/self") -> Place | None:
    """This process's own cgroup of v1's ``pids`` controller, where it may make others in it: usually root only."""
    mounted = _mount_of_pids(f"{process}/mountinfo")
    own = _own_cgroup(f"{process}/cgroup", ":pids:/")
    path = os.path.normpath(mounted + own) if mounted and own else None
    return Place(path, frozenset({"pids"})) if path and _is_ours(path) else None


def _is_ours(path: str) -> bool:
    # To move a process, its user must be allowed to write cgroup.procs of the cgroup above both places.
    return os.access(path, os.W_OK) and os.access(os.path.join(path, "cgroup.procs"), os.W_OK)


def _mount_of_cgroup2(mountinfo: str) -> str | None:
    return next((point for point, kind, _ in _mounts(mountinfo) if kind == "cgroup2"), None)


def _mount_of_pids(mountinfo: str) -> str | None:
    return next((point for point, kind, options in _mounts(mountinfo) if kind == "cgroup" and "pids" in options), None)


def _mounts(mountinfo: str) -> list[tuple[str, str, list[str]]]:
    """Where each file system is mounted, its type, and the options of its own."""
    try:
        with open(mountinfo, encoding="utf-8") as file:
            lines = [line.partition(" - ") for line in file]
    except OSError:
        return []
    abouts = ((fields.split()[4], about.split()) for fields, _, about in lines)
    return [(point, about[0], about[2].split(",")) for point, about in abouts if len(about) > 2]


def _own_cgroup(listing: str, controller: str = "0::/") -> str | None:
    """The path behind ``controller`` in /proc/PID/cgroup; v2's line has none."""
    try:
        with open(listing, encoding="utf-8") as file:
            return next(("/" + line.partition(controller)[2].strip() for line in file if controller in line), None)
    except OSError:
        return None


def _remove_abandoned(place: str) -> None:
    """Those of wrappers that were killed. The kernel refuses while there is a process in one."""
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if name.startswith(_PREFIX) and time.time() - os.stat(path).st_mtime > _ABANDONED_SECONDS:  # noqa: PTH116
            _removed(path)


def _removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(directory: str, name: str, text: str) -> None:
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(text)


def _read_number(directory: str, name: str) -> int:
    try:
        with open(os.path.join(directory, name), encoding="ascii") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0


def _read_field(directory: str, name: str, field: str) -> int:
    try:
        with open(os.path.join(directory, name), encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.split()[0] == field), 0)
    except FileNotFoundError:
        return 0

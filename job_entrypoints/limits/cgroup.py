"""Makes a cgroup v2 for an attempt, if this process may. The kernel then enforces the script's limits.

Where there is only v1, its ``pids`` controller bounds the number of processes: no watchdog outruns a fork bomb. The script's
process joins the cgroup before it starts. The wrapper stays outside, so that it can report how the script ended. No setup is
needed: systemd delegates a cgroup to a user's services and sessions, and root has one outside of containers.
Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/pids.rst.
"""

from __future__ import annotations

import os
import time

_PREFIX = "raylift-"
_CPU_PERIOD_MICROSECONDS = 100_000
_ABANDONED_SECONDS = 3600.0
_REMOVE_SECONDS = 1.0


class Place:
    """A cgroup that can hold others, and the controllers of those others."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path = path
        self.controllers = controllers


class Cgroup:
    """An attempt's cgroup. ``memory``, ``pids`` and ``cpu`` are true where the kernel enforces that limit."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path = path
        self.memory = "memory" in controllers
        self.pids = "pids" in controllers
        self.cpu = "cpu" in controllers

    def join(self) -> None:
        """Move the calling process in. Its later children are in it, too."""
        _write(self.path, "cgroup.procs", "0")

    def ran_out_of_memory(self) -> bool:
        return self.memory and _read_field(self.path, "memory.events", "oom_kill") > 0

    def was_refused_a_process(self) -> bool:
        return self.pids and _read_field(self.path, "pids.events", "max") > 0

    def peak_memory_bytes(self) -> int:
        """The kernel's count, with files that it keeps in memory. Before Linux 5.19: the present value."""
        return _read_number(self.path, "memory.peak") or _read_number(self.path, "memory.current")

    def memory_bytes(self) -> int:
        return _read_number(self.path, "memory.current")

    def peak_tasks(self) -> int:
        return _read_number(self.path, "pids.peak") or _read_number(self.path, "pids.current")

    def kill(self) -> None:
        """Kill every process in it at once, however fast they fork."""
        if os.path.exists(os.path.join(self.path, "cgroup.kill")):
            _write(self.path, "cgroup.kill", "1")

    def remove(self) -> None:
        """Remove it after its processes have ended. If that fails, an attempt that starts an hour later removes it."""
        give_up = time.monotonic() + _REMOVE_SECONDS
        while not _removed(self.path) and time.monotonic() < give_up:
            time.sleep(0.005)


def make_cgroup(name: str, place: Place | None, *, memory_bytes: int, max_tasks: int, cpus: float) -> Cgroup | None:
    """Make a cgroup with these limits (0: none) in ``place``. Returns None where that is impossible."""
    if place is None:
        return None
    path = os.path.join(place.path, _PREFIX + name)
    try:
        _remove_abandoned(place.path)
        os.mkdir(path)
        if "memory" in place.controllers and memory_bytes:
            _write(path, "memory.max", str(memory_bytes))
            _write(path, "memory.oom.group", "1")
            if os.path.exists(os.path.join(path, "memory.swap.max")):  # a kernel without swap has no such file
                _write(path, "memory.swap.max", "0")
        if "pids" in place.controllers and max_tasks:
            _write(path, "pids.max", str(max_tasks))
        if "cpu" in place.controllers and cpus:
            _write(path, "cpu.max", f"{int(cpus * _CPU_PERIOD_MICROSECONDS)} {_CPU_PERIOD_MICROSECONDS}")
    except OSError:
        # Not permitted after all, or a sandbox shows a controller that cannot be set.
        _removed(path)
        return None
    given = {"memory": memory_bytes, "pids": max_tasks, "cpu": cpus}
    return Cgroup(path, frozenset(name for name in place.controllers if given.get(name)))


def find_place(process: str = "/proc/self") -> Place | None:
    """Find the nearest cgroup above this process that delegates the memory controller and that this user may write.

    None: there is no cgroup v2, its controllers are bound to v1, or this user may not write it.
    """
    mounted = next((point for point, kind, _ in _mounts(process) if kind == "cgroup2"), None)
    own = _own_cgroup(process)
    if mounted is None or own is None:
        return None
    path = os.path.normpath(mounted + own)
    while path.startswith(mounted):
        try:
            with open(os.path.join(path, "cgroup.subtree_control"), encoding="ascii") as file:
                controllers = frozenset(file.read().split())
        except OSError:
            return None
        if "memory" in controllers and _is_writable(path):
            return Place(path, controllers)
        path = os.path.dirname(path)
    return None


def find_pids_place(process: str = "/proc/self") -> Place | None:
    """Find this process's cgroup of v1's ``pids`` controller, if it may make others in it. Usually only root may."""
    mounted = next((point for point, kind, options in _mounts(process) if kind == "cgroup" and "pids" in options), None)
    own = _own_cgroup(process, ":pids:/")
    path = os.path.normpath(mounted + own) if mounted and own else None
    return Place(path, frozenset({"pids"})) if path and _is_writable(path) else None


def _is_writable(path: str) -> bool:
    # To move a process, its user must be allowed to write cgroup.procs of the cgroup above both places.
    return os.access(path, os.W_OK) and os.access(os.path.join(path, "cgroup.procs"), os.W_OK)


def _mounts(process: str) -> list[tuple[str, str, list[str]]]:
    """Mount point, type and options of each file system."""
    try:
        with open(f"{process}/mountinfo", encoding="utf-8") as file:
            lines = [line.partition(" - ") for line in file]
    except OSError:
        return []
    abouts = ((fields.split()[4], about.split()) for fields, _, about in lines)
    return [(point, about[0], about[2].split(",")) for point, about in abouts if len(about) > 2]


def _own_cgroup(process: str, controller: str = "0::/") -> str | None:
    """The path after ``controller`` in /proc/PID/cgroup; the line of v2 names none."""
    try:
        with open(f"{process}/cgroup", encoding="utf-8") as file:
            return next(("/" + line.partition(controller)[2].strip() for line in file if controller in line), None)
    except OSError:
        return None


def _remove_abandoned(place: str) -> None:
    """Remove cgroups of wrappers that were killed. The kernel refuses while a process is in one."""
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if name.startswith(_PREFIX) and time.time() - os.stat(path).st_mtime > _ABANDONED_SECONDS:
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
    text = _read(directory, name).strip()
    return int(text) if text.isdecimal() else 0


def _read_field(directory: str, name: str, field: str) -> int:
    lines = (line.split() for line in _read(directory, name).splitlines())
    return next((int(words[1]) for words in lines if words[0] == field), 0)


def _read(directory: str, name: str) -> str:
    try:
        with open(os.path.join(directory, name), encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""

"""Reads and writes of cgroup files, on folders that imitate cgroup v2.

tests/integration/job_entrypoints/test_limits.py tests the kernel's part, if the machine has cgroups.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from job_entrypoints.limits.cgroup import Cgroup, Place, find_pids_place, find_place, make_cgroup

ALL = frozenset({"memory", "pids", "cpu"})


def _tree(root: Path, own: str, controllers: dict[str, str]) -> str:
    """A process in ``own`` of a mount at ``root``/mount. Returns its folder in /proc."""
    mount = root / "mount"
    for name, handed_on in controllers.items():
        directory = mount / name.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.subtree_control").write_text(handed_on + "\n")
        (directory / "cgroup.procs").write_text("")
    (root / "mountinfo").write_text(
        f"24 30 0:22 / /sys rw - sysfs sysfs rw\n35 24 0:30 / {mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    )
    (root / "cgroup").write_text(f"4:memory:/x\n0::{own}\n")
    return str(root)


def test_nearest_cgroup_with_a_delegated_memory_controller_is_used(tmp_path: Path) -> None:
    tree = {"/": "cpu memory pids", "/user": "memory pids", "/user/app": "memory pids", "/user/app/ours.scope": ""}
    place = find_place(_tree(tmp_path, "/user/app/ours.scope", tree))
    assert place is not None
    assert (place.path, place.controllers) == (f"{tmp_path}/mount/user/app", {"memory", "pids"})


@pytest.mark.parametrize(
    ("own", "tree"),
    [("/", {"/": ""}), ("/", {"/": "hugetlb"}), ("/a/b", {"/": "", "/a": "pids", "/a/b": ""}), ("/gone", {"/": "memory"})],
    ids=["no controllers", "others", "memory is not handed on", "a cgroup that cannot be seen"],
)
def test_no_writable_cgroup_gives_none(own: str, tree: dict[str, str], tmp_path: Path) -> None:
    assert find_place(_tree(tmp_path, own, tree)) is None


def test_machine_without_cgroup_v2_gives_none(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("35 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    (tmp_path / "cgroup").write_text("4:memory:/x\n")
    assert find_place(str(tmp_path)) is None
    assert find_place(str(tmp_path / "nothing")) is None


def test_pids_controller_of_v1_is_used(tmp_path: Path) -> None:
    own = tmp_path / "pids" / "jobs"
    own.mkdir(parents=True)
    (own / "cgroup.procs").write_text("")
    (tmp_path / "mountinfo").write_text(
        f"34 24 0:29 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"35 24 0:30 / {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
    )
    (tmp_path / "cgroup").write_text("8:pids:/jobs\n4:memory:/x\n0::/\n")
    place = find_pids_place(str(tmp_path))
    assert place is not None
    assert (place.path, place.controllers) == (str(own), {"pids"})
    group = make_cgroup("x", place, memory_bytes=0, max_tasks=9, cpus=0)
    assert group is not None
    assert (group.pids, group.memory, group.cpu) == (True, False, False)
    assert _files(group) == {"pids.max": "9"}
    assert find_pids_place(_tree(tmp_path / "v2", "/", {"/": "memory pids"})) is None


def _files(group: Cgroup) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(group.path).iterdir()}


def test_limits_are_written(tmp_path: Path) -> None:
    group = make_cgroup("job_1-a1", Place(str(tmp_path), ALL), memory_bytes=2**29, max_tasks=100, cpus=1.5)
    assert group is not None
    assert Path(group.path) == tmp_path / "raylift-job_1-a1"
    assert _files(group) == {"memory.max": "536870912", "memory.oom.group": "1", "pids.max": "100", "cpu.max": "150000 100000"}
    assert (group.memory, group.pids, group.cpu) == (True, True, True)
    (Path(group.path) / "cgroup.procs").write_text("")
    group.join()
    assert _files(group)["cgroup.procs"] == "0"


def test_limits_without_a_controller_are_skipped(tmp_path: Path) -> None:
    group = make_cgroup("x", Place(str(tmp_path), frozenset({"memory", "io"})), memory_bytes=1, max_tasks=9, cpus=1)
    assert group is not None
    assert _files(group).keys() == {"memory.max", "memory.oom.group"}
    assert (group.memory, group.pids, group.cpu) == (True, False, False)
    unlimited = make_cgroup("y", Place(str(tmp_path), ALL), memory_bytes=1, max_tasks=0, cpus=0)
    assert unlimited is not None
    assert (unlimited.memory, unlimited.pids, unlimited.cpu) == (True, False, False)


def test_cgroup_that_refuses_writes_is_not_used(tmp_path: Path) -> None:
    assert make_cgroup("x", None, memory_bytes=1, max_tasks=1, cpus=1) is None
    assert make_cgroup("x", Place(str(tmp_path / "nowhere"), ALL), memory_bytes=1, max_tasks=1, cpus=1) is None
    (tmp_path / "raylift-x").mkdir()
    assert make_cgroup("x", Place(str(tmp_path), ALL), memory_bytes=1, max_tasks=1, cpus=1) is None


def test_events_of_the_kernel_are_read(tmp_path: Path) -> None:
    group = Cgroup(str(tmp_path), ALL)
    assert not group.ran_out_of_memory()
    assert not group.was_refused_a_process()
    assert group.peak_memory_bytes() == 0
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n")
    (tmp_path / "pids.events").write_text("max 7\n")
    (tmp_path / "memory.current").write_text("11\n")
    assert group.ran_out_of_memory()
    assert group.was_refused_a_process()
    assert group.peak_memory_bytes() == 11
    (tmp_path / "memory.peak").write_text("22\n")
    (tmp_path / "pids.peak").write_text("33\n")
    assert (group.peak_memory_bytes(), group.peak_tasks()) == (22, 33)


def test_cgroups_of_killed_wrappers_are_removed_later(tmp_path: Path) -> None:
    for name, mtime in (("raylift-old", 0), ("raylift-new", None), ("other", 0)):
        (tmp_path / name).mkdir()
        if mtime is not None:
            os.utime(tmp_path / name, (mtime, mtime))
    assert make_cgroup("x", Place(str(tmp_path), ALL), memory_bytes=1, max_tasks=1, cpus=1) is not None
    assert {path.name for path in tmp_path.iterdir()} == {"raylift-new", "raylift-x", "other"}

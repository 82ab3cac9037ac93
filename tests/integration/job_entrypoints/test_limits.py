"""Limits on processes, disk and CPUs: a script beyond its share is ended, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.limits.cgroup import Place, find_pids_place, find_place, make_cgroup
from job_entrypoints.script.environment import THREAD_POOLS

MEBIBYTE = 2**20
REPOSITORY = Path(__file__).parents[3]
UNIFIED = next(
    (Place(path, frozenset()) for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if Path(path, "cgroup.procs").exists()),
    None,
)

FORK_BOMBS = {
    "processes": "import os\nwhile True: os.fork()",
    "processes that sleep": "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(1000)",
    "processes that leave the session": (
        "import os\nwhile True:\n    try:\n        if os.fork() == 0: os.setsid()\n    except OSError: pass"
    ),
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
    "shells": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'b() { b | b & }; b; wait'])\nimport time\ntime.sleep(1000)",
}

DISK_FILLERS = {
    "one large file": "f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
    "many files": "n = 0\nwhile True:\n    open(f'{n}', 'wb').write(b'x' * 65536)\n    n += 1",
    "a temporary file": "import tempfile\nf = tempfile.TemporaryFile()\nwhile True: f.write(b'x' * (1 << 20))",
    "the attempt's own directory": "f = open('../more', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
    "and ends at once": "open('big', 'wb').write(b'x' * (200 << 20))",
    "and swallows errors": (
        "n = 0\nwhile True:\n    n += 1\n    try: open(f'{n}', 'wb').write(b'x' * (1 << 20))\n    except OSError: pass"
    ),
}


@pytest.mark.parametrize("name", FORK_BOMBS)
def test_fork_bomb_ends_only_its_own_job(name: str, run: Callable[..., Any], pids_with: Callable[[str], list[int]]) -> None:
    result = run(FORK_BOMBS[name], max_processes=200, memory_bytes=8192 * MEBIBYTE)
    assert (result.exit_code, result.progress["outcome"]) == (137, "process_limit"), result.output[-500:]
    message = result.progress["message"]
    assert "at most 200" in message
    assert int(message.split("the script had ")[1].split()[0]) >= 200
    # If the kernel holds the limit, no fork beyond it succeeds, however slow the watchdog is.
    by_kernel = any("pids" in place.controllers for place in (find_place(), find_pids_place()) if place)
    assert message.endswith("(cgroup)" if by_kernel else "(watchdog)")
    assert message in result.output
    assert pids_with(f"RAYLIFT_JOB_ID={result.directory.name.removesuffix('-a1')}") == []


@pytest.mark.parametrize("name", DISK_FILLERS)
def test_script_that_fills_the_disk_is_ended_and_its_files_removed(name: str, run: Callable[..., Any]) -> None:
    result = run(DISK_FILLERS[name], max_scratch_bytes=64 * MEBIBYTE)
    assert (result.exit_code, result.progress["outcome"]) == (137, "disk_limit"), result.output[-500:]
    assert "of at most 64 MiB (jobs.max_scratch_bytes)" in result.progress["message"]
    assert not (result.directory / "work").exists()
    assert not (result.directory / "tmp").exists()


def test_files_of_the_project_do_not_count(make_attempt: Callable[..., Path]) -> None:
    directory = make_attempt("import time\nopen('result', 'w').write('x')\ntime.sleep(2.5)", max_scratch_bytes=MEBIBYTE)
    (directory / "work").mkdir()
    (directory / "work" / "data.csv").write_bytes(b"x" * (4 * MEBIBYTE))
    command = [sys.executable, "-m", "job_entrypoints.train", "--attempt-dir", str(directory)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0
    assert (directory / "work" / "result").exists()


def test_temporary_files_are_removed_with_the_script(run: Callable[..., Any]) -> None:
    result = run(
        "import multiprocessing, os, tempfile\n"
        "path = os.path.realpath(tempfile.mkdtemp())\nprint(path)\n"
        "os.chdir(path)\nfor _ in range(1100): os.mkdir('d'); os.chdir('d')\nos.chdir('/')\n"
        "with multiprocessing.Manager() as manager: print(manager.list([1]))"
    )
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{result.directory}/tmp/")
    assert result.output.endswith("[1]\n")
    assert not (result.directory / "tmp").exists()


def test_tmpdir_of_the_user_is_kept(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("import tempfile\nprint(tempfile.gettempdir())", environment={"TMPDIR": str(tmp_path)})
    assert result.output == f"{tmp_path}\n"


def test_affinity_and_thread_pools_follow_the_cpus(run: Callable[..., Any]) -> None:
    names = list(THREAD_POOLS)
    result = run(
        f"import json, os\nprint(json.dumps([len(os.sched_getaffinity(0)), *(os.environ[n] for n in {names!r})]))", cpus=1
    )
    cores, *pools = json.loads(result.output)
    assert set(pools) == {"1"}
    everything = len(os.sched_getaffinity(0))
    assert cores == 1
    assert result.progress["usage"]["cpu_enforced_by"] == ("affinity" if everything > 1 else None)
    assert run("pass", cpus=everything).progress["usage"]["cpu_enforced_by"] is None


def test_concurrent_jobs_run_on_different_cores(start: Callable[..., Any]) -> None:
    script = "import os, time\nprint('on', *os.sched_getaffinity(0))\ntime.sleep(1000)"
    running = [start(script, cpus=0.5, stop_grace_seconds=0.1) for _ in range(min(2, len(os.sched_getaffinity(0))))]
    cores = [job.wait_for_output("on ").strip() for job in running]
    for job in running:
        (job.directory / "stop").touch()
        job.wait()
    assert len(set(cores)) == len(running)


def test_kernel_would_kill_the_script_before_the_monitor(run: Callable[..., Any]) -> None:
    result = run("import os\nfor pid in ('self', os.getppid()): print(open(f'/proc/{pid}/oom_score_adj').read().strip())")
    script, monitor = (int(word) for word in result.output.split())
    assert script == 1000
    assert monitor < script


def test_cgroup_holds_all_processes_and_kills_them_at_once() -> None:
    # Without controllers: if v1 has them, no limit of v2 can be tested.
    group = make_cgroup(f"test-{os.getpid()}", UNIFIED, memory_bytes=0, max_tasks=0, cpus=0)
    if group is None:
        # Not root, or no cgroup v2: the watchdog holds the limits.
        assert UNIFIED is None or not os.access(UNIFIED.path, os.W_OK)
        return
    bomb = subprocess.Popen(
        ["/bin/sh", "-c", "for n in 1 2 3; do setsid sleep 600 & done; echo started; wait"],
        stdout=subprocess.PIPE,
        preexec_fn=group.join,
    )
    assert bomb.stdout is not None
    bomb.stdout.readline()
    members = (Path(group.path) / "cgroup.procs").read_text().split()
    group.kill()
    assert bomb.wait(10) == -signal.SIGKILL
    bomb.communicate()
    group.remove()
    assert len(members) == 4
    assert not Path(group.path).exists()

"""An attempt on a node that does not see the state directory: all of it comes and goes through the gateway."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from raylift.domain.job import Isolation, JobState, Reason
from raylift.engines.attempts.mirror import contact_with

TALKS = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    print("line", number, flush=True)
    number += 1
    time.sleep(0.02)
print("lines", number)
"""


def project_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_script_runs_and_its_files_reach_the_platform(world: Any) -> None:
    source = "import os, sys\nprint(os.getcwd(), sys.argv[1:], os.environ['GREETING'], os.environ['KEY'])\n"
    job = world.job(source, args=("a", "b"), environment={"GREETING": "hello"}, secrets={"KEY": "very-secret"})
    node = world.run(job)
    end = world.ended(node)
    assert (end["outcome"], end["exit_code"]) == ("exited", 0)
    assert world.output(node).decode() == f"{node.files}/work ['a', 'b'] hello ***\n"
    node.wait()
    assert node.process.returncode == 0
    assert not node.files.exists()
    assert "very-secret" not in (node.directory.path / "attempt.json").read_text()


def test_sandboxed_script_gets_its_project_but_no_token(world: Any) -> None:
    source = """
    import os, pathlib
    from pkg.helper import NAME
    found = []
    for path in (os.environ["FILE"], f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}/mem"):
        try:
            found.append(path if open(path, "rb").read(10) else "")
        except OSError:
            pass
    known = [name for name in os.environ if "TOKEN" in name or "GATEWAY" in name]
    print(NAME, len(pathlib.Path("big.bin").read_bytes()), found, known)
    """
    files = {"train.py": b"", "pkg/__init__.py": b"", "pkg/helper.py": b"NAME = 'ann'\n", "big.bin": b"\1" * (100 << 20)}
    project = project_of(files)
    job = world.job(
        source,
        project=project,
        isolation=Isolation.SANDBOX,
        environment={"FILE": str(world.settings.ray_token_file)},
        python_path=(".",),
    )
    node = world.run(job)
    end = world.ended(node, 120)
    assert end["outcome"] == "exited", world.output(node)
    assert world.output(node) == b"ann 104857600 [] []\n"
    assert "landlock" in end["usage"]["isolated_by"]


def test_killed_gateway_and_courier_lose_and_double_no_output(world: Any, tmp_path: Path) -> None:
    node = world.run(world.job(TALKS, args=(str(tmp_path / "enough"),)))
    world.until(lambda: b"line 20\n" in world.output(node))
    world.kill_gateway()
    before = world.output(node)
    world.start_gateway()
    world.until(lambda: len(world.output(node)) > len(before))
    monitor = world.progress(node)["wrapper_pid"]
    courier = next(child for child in psutil.Process(node.process.pid).children() if child.pid != monitor)
    courier.kill()
    before = world.output(node)
    world.until(lambda: len(world.output(node)) > len(before))
    (tmp_path / "enough").touch()
    assert world.ended(node)["outcome"] == "exited"
    count = int(world.output(node).split()[-1])
    assert world.output(node) == b"".join(b"line %d\n" % number for number in range(count)) + b"lines %d\n" % count


def test_output_of_64_mib_arrives_whole(world: Any) -> None:
    source = "import sys\nfor number in range(1 << 22):\n    sys.stdout.write('%015d\\n' % number)\n"
    node = world.run(world.job(source))
    end = world.ended(node, 120)
    assert end["outcome"] == "exited"
    assert world.output(node) == b"".join(b"%015d\n" % number for number in range(1 << 22))


def test_stop_reaches_the_script(world: Any) -> None:
    node = world.run(world.job("import time\nprint('up', flush=True)\ntime.sleep(600)\n"))
    world.until(lambda: b"up" in world.output(node))
    node.directory.request_stop("the job was cancelled")
    end = world.ended(node)
    assert (end["outcome"], end["message"]) == ("stopped", "stopped: the job was cancelled")


def test_stop_before_the_start_starts_no_script(world: Any) -> None:
    job = world.job("print('up')\n")
    world.directory(job).request_stop("the job was cancelled")
    node = world.run(job)
    assert world.ended(node)["message"] == "stopped before its script started"
    assert world.output(node) == b""


def test_job_that_went_on_ends_the_old_script(world: Any) -> None:
    job = world.job("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    node = world.run(job)
    world.until(lambda: b"up" in world.output(node))
    world.store.jobs.move(world.lease, job, JobState.QUEUED, now=datetime.now(UTC), reason=Reason.NODE_LOST, attempt=2)
    assert b"given this attempt up" in node.wait()
    assert "outcome" not in world.progress(node)


def test_script_out_of_contact_ends_before_it_may_run_again(world: Any) -> None:
    node = world.run(world.job("import time\nprint('up', flush=True)\ntime.sleep(600)\n", contact_seconds=10.0))
    world.until(lambda: b"up" in world.output(node))
    world.pause_gateway()
    log = node.files / "output.log"
    world.until(lambda: b"out of contact with the platform for 10 s" in log.read_bytes(), 60)
    ended_at = datetime.now(UTC)
    contact = contact_with(node.directory.path)
    assert contact is not None
    assert ended_at < contact.ended_by
    world.resume_gateway()
    assert world.ended(node)["outcome"] == "wrapper_error"


@pytest.mark.parametrize("victim", ["anchor", "monitor"])
def test_killed_wrapper_reports_its_end(world: Any, victim: str) -> None:
    node = world.run(world.job("import time\nprint('up', flush=True)\ntime.sleep(600)\n"))
    world.until(lambda: b"up" in world.output(node))
    os.kill(node.process.pid if victim == "anchor" else world.progress(node)["wrapper_pid"], signal.SIGKILL)
    end = world.ended(node)
    assert end["outcome"] == "wrapper_error"
    assert "killed" in end["message"]


def test_wrong_token_starts_nothing_and_names_the_node(world: Any) -> None:
    node = world.run(world.job("print('up')\n"), token="another platform's")
    said = node.wait().decode()
    assert node.process.returncode == 76
    assert said.startswith(f"[raylift] not prepared: {os.uname().nodename}: it does not see {node.directory.path}")
    assert "The token is not the attempt's" in said
    assert not node.files.exists()


def test_node_without_directory_or_gateway_says_so(world: Any) -> None:
    node = world.run(world.job("print('up')\n"), gateway="")
    assert f"not prepared: {os.uname().nodename}".encode() in node.wait()
    assert node.process.returncode == 76

"""Secrets of jobs on the real platform: the script has them, and nothing else shows them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylift import Client, InvalidRequest
from raylift.launcher import LocalPlatform

SCRIPT = """
import os, subprocess, sys
secret, plain = os.environ["PASSWORD"], os.environ["PLAIN"]
print("lengths", len(secret), len(plain))
print("value", secret, plain, flush=True)
subprocess.run(["sh", "-c", 'echo child "$PASSWORD"'], check=True)
if sys.argv[1:] == ["fail"]:
    raise RuntimeError("cannot log in with " + secret)
"""


@pytest.fixture
def value() -> str:
    return f"hunter2-{uuid.uuid4().hex}"


@pytest.fixture
def name(client: Client, value: str) -> Iterator[str]:
    name = f"S{uuid.uuid4().hex[:8]}"
    client.secrets.set(name, {"PASSWORD": value})
    yield name
    client.secrets.delete(name)


def files_with(directory: Path, value: str) -> list[Path]:
    found: list[Path] = []
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink() and value.encode() in path.read_bytes():
            found.append(path)
    return found


def test_script_has_its_secrets_and_nothing_else_shows_them(
    platform: LocalPlatform, client: Client, name: str, value: str
) -> None:
    plain = f"visible-{uuid.uuid4().hex}"
    job = client.train(script_content=SCRIPT, secrets=[name], env={"PLAIN": plain}, args=["fail"], deploy=False)
    job.wait(timeout=120, progress=False, raise_on_failure=False)
    assert f"lengths {len(value)} {len(plain)}" in job.logs()
    assert f"value *** {plain}\nchild ***\n" in job.logs()
    assert job.view.message is not None
    assert "cannot log in with ***" in job.view.message
    answers = [client.request("GET", f"/mlops/training/jobs/{job.job_id}{tail}") for tail in ("", "/events")]
    assert value not in str(answers)
    # The store, attempts, logs of Ray and of the platform.
    assert files_with(platform.record.state_dir, value) == []
    assert files_with(platform.record.session_dir, value) == []
    # A variable of the job is in no file but the log, which the script wrote.
    assert {path.name for path in files_with(platform.record.state_dir, plain)} == {"output.log"}


def test_rerun_gets_the_present_value(client: Client, name: str, value: str) -> None:
    first = client.train(script_content=SCRIPT, secrets=[name], env={"PLAIN": "12345"}, deploy=False).wait(
        timeout=120, progress=False
    )
    client.secrets.set(name, {"PASSWORD": f"{value}-and-more"})
    again = first.rerun().wait(timeout=120, progress=False)
    assert f"lengths {len(value) + len('-and-more')} 5" in again.logs()


def test_unknown_secret_is_refused(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        client.train(script_content=SCRIPT, secrets=["GONE"])

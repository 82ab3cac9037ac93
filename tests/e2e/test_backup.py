"""A lost machine: backup while the platform runs with TLS, then everything is deleted and restored."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client
from raylift.launcher import LocalPlatform
from raylift.launcher.backup.create import write_backup
from raylift.launcher.backup.restore import restore_backup
from raylift.launcher.processes.platform_processes import processes_of
from tests.certificates import Authority
from tests.e2e.conftest import OVERRIDES

MODEL = """
import mlflow, os
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0], [1.0]], [0.0, len(os.environ["KEY"])])
mlflow.sklearn.log_model(model, name="model", input_example=[[1.0]])
"""
SLOW = 'import os, time\nprint("begun", flush=True)\ntime.sleep(6)\nprint("length", len(os.environ["KEY"]))\n'
APP = "https://app.example"


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Path]:
    """A state directory that may disappear."""
    directory = Path(tempfile.mkdtemp(prefix="raylift-lost-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.nightly
def test_restored_platform_answers_the_same(lost: Path, tmp_path: Path) -> None:
    authority = Authority.make()
    ca = authority.write(tmp_path / "ca.pem")
    cert, key = authority.issue(tmp_path)
    gateway = {"tls": {"cert": str(cert), "key": str(key)}, "allowed_origins": [APP]}
    overrides: dict[str, Any] = {**OVERRIDES, "gateway": gateway}
    file = tmp_path / "backup.tar.gz"

    first = LocalPlatform.start(lost, overrides=overrides)
    try:
        assert first.url.startswith("https://127.0.0.1:")
        with Client(first.url, ca=ca) as client:
            client.secrets.set("KEY", "hunter2")
            job = client.train(script_content=MODEL, model="lost", secrets=["KEY"]).wait(timeout=240, progress=False)
            answer = client.predict("lost", [[1.0], [2.0]], timeout=120)
            assert [round(value) for value in answer.predictions] == [7, 14]
            assert permission(first, ca) == APP
            running = client.train(script_content=SLOW, secrets=["KEY"])
            wait_for_output(running)
            write_backup(lost, file, with_keys=True)
    finally:
        first.stop()
    assert not processes_of(first.record.instance)
    shutil.rmtree(lost)

    restore_backup(file, lost)
    second = LocalPlatform.start(lost, overrides=overrides)
    try:
        with Client(second.url, ca=ca) as client:
            assert client.predict("lost", [[1.0], [2.0]], timeout=240).predictions == answer.predictions
            assert "Traceback" not in client.jobs.get(job.job_id).logs()
            # It ran during the backup, and runs again from its beginning.
            assert "length 7" in client.jobs.get(running.job_id).wait(timeout=240, progress=False).logs()
            assert [secret.name for secret in client.secrets.list()] == ["KEY"]
    finally:
        second.stop()


def permission(platform: LocalPlatform, ca: Path) -> str | None:
    """The CORS header of an answer of the version's own route."""
    import ssl

    url = f"{platform.url}/v2/models/lost/versions/1/predict"
    context = ssl.create_default_context(cafile=str(ca))
    body = {"inputs": [[1.0]]}
    answer = httpx.post(url, json=body, headers={"Origin": APP}, verify=context, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.headers.get("access-control-allow-origin")


def wait_for_output(job: Any) -> None:
    for _ in job.logs(follow=True):
        return

"""The SDK and the command line against the real gateway over real connections. Only the engines are fakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylift import Client, Conflict, InvalidRequest, JobFailed, NotFound, Unavailable
from raylift.domain.job import JobState, Reason
from raylift.domain.models.deployment import DeploymentStatus

COMMAND = [sys.executable, "-c", "from raylift.cli.app import main; main()"]
EXAMPLE = Path(__file__).parents[3] / "examples" / "upload_training_script.py"
Until = Callable[..., None]


def test_job_is_uploaded_followed_and_deleted(client: Client, platform: Any):
    job = client.train(script_content="print('hi')", model="churn", tags={"team": "a"}, env={"TOKEN": "secret"})
    assert (job.status, job.is_final, job.phase, job.tags) == ("queued", False, "queued", {"team": "a"})
    assert job.script() == "print('hi')"
    platform.start(job.job_id, b"hi\n")
    assert job.refresh().status == "running"
    with pytest.raises(Conflict):
        job.delete()
    platform.finish(job.job_id, metrics={"accuracy": 0.9}, model_version="1")
    assert job.wait(progress=False).metrics == {"accuracy": 0.9}
    assert (job.model_version, job.logs(), job.view.environment) == ("1", "hi\n", {"TOKEN": "***"})
    assert [event.after for event in job.events()] == ["queued", "starting", "script", "registration", "completed"]
    again = job.rerun()
    assert again.job_id != job.job_id
    assert again.cancel().view.status in {"queued", "cancelled"}
    assert {seen.job_id for seen in client.jobs.list(model="churn", tag="team=a", page_size=1)} == {job.job_id, again.job_id}
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


def test_failed_job_raises_with_its_output(client: Client, platform: Any):
    job = client.train(script_content="raise ValueError('age')", model="churn")
    platform.start(job.job_id, b"ValueError: age\n")
    platform.finish(job.job_id, JobState.FAILED, reason=Reason.SCRIPT_ERROR, message="exit code 1", exit_code=1)
    with pytest.raises(JobFailed, match="script_error: exit code 1\nValueError: age"):
        job.wait(progress=False)


def test_refused_upload_names_every_wrong_field(client: Client):
    with pytest.raises(InvalidRequest) as caught:
        client.train(script_content="x = 1\ndef broken(:\n", model="churn", requirements=["not a requirement!!"], timeout=1)
    places = {(error.field.partition("[")[0], error.line) for error in caught.value.errors}
    assert ("script_content", 2) in places
    assert {field for field, _ in places} >= {"script_content", "requirements", "timeout_seconds"}


def test_upload_over_a_broken_connection_makes_one_job(client: Client, wire: Any):
    first = client.train(script_content="pass", model="m", idempotency_key="k")
    wire.cut()
    assert client.train(script_content="pass", model="m", idempotency_key="k").job_id == first.job_id
    assert len(list(client.jobs.list())) == 1


def test_followed_log_is_complete_across_broken_connections(client: Client, wire: Any, platform: Any, patiently: Until):
    job = client.train(script_content="pass", model="m")
    platform.start(job.job_id)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(_told(job.logs(follow=True), seen_so_far)), daemon=True)
    seen_so_far: list[str] = []
    reader.start()
    lines = [f"line {number} \u2028 ä" for number in range(60)]
    for start in range(0, 60, 20):
        platform.print(job.job_id, "".join(f"{line}\n" for line in lines[start : start + 20]).encode())
        patiently(lambda upto=start + 20: len(seen_so_far) >= upto)
        wire.cut()
    platform.print(job.job_id, b"the last, without an end")
    platform.finish(job.job_id)
    reader.join(30)
    assert not reader.is_alive()
    assert seen == [*lines, "the last, without an end"]
    assert wire.connections > 3


def _told(lines: Any, so_far: list[str]) -> list[str]:
    for line in lines:
        so_far.append(line)
    return so_far


def test_models_are_listed_deployed_and_called(client: Client, platform: Any):
    platform.registry.register("churn", "1")
    platform.registry.register("churn", "2")
    platform.deploy("churn", "1")
    platform.deploy("churn", "2", DeploymentStatus.UNHEALTHY, message="no module named x")
    assert [model.model_name for model in client.models.list()] == ["churn"]
    assert [version.model_version for version in client.models.get("churn").versions] == ["2", "1"]
    assert client.models.version("churn", 1).deployment is not None
    assert {(seen.model_version, seen.status) for seen in client.deployments.list("churn")} == {
        ("1", "ready"),
        ("2", "unhealthy"),
    }
    changed = client.deployments.put("churn", 1, max_replicas=3, batching={"max_rows": 8, "wait_ms": 2})
    assert (changed.max_replicas, changed.batching and changed.batching.max_rows) == (3, 8)
    assert client.deployments.put("churn", 1, batching=False).batching is None
    platform.deploy("churn", "1")

    frame = pd.DataFrame({"age": [31, 44], "city": ["Bern", None]})
    answer = client.predict("churn", frame, version=1, proba=True)
    assert (answer.predictions, answer.model_version) == ([1, 1], "1")
    assert answer.raw["asked"]["inputs"] == {"age": [31, 44], "city": ["Bern", None]}
    with pytest.raises(NotFound) as caught:
        client.predict("churn", frame, version=99)
    assert sorted(caught.value.problem["versions"]) == ["1", "2"]
    with pytest.raises(Unavailable, match="no module named x"):
        client.predict("churn", frame, version=2, timeout=30)
    client.deployments.delete("churn", 1)
    assert client.deployments.get("churn", 1).status == "stopped"


def command(url: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        args,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAYLIFT_URL": url, "PYTHONUNBUFFERED": "1"},
    )


def queued(platform: Any, patiently: Until) -> str:
    patiently(lambda: platform.store.jobs.queue_heads(1))
    return platform.store.jobs.queue_heads(1)[0].job_id


def test_command_line_follows_a_job(url: str, platform: Any, tmp_path: Path, patiently: Until):
    (tmp_path / "my_model.py").write_text("print('hi')")
    process = command(url, *COMMAND, "train", str(tmp_path / "my_model.py"), "--model", "churn", "--follow")
    job_id = queued(platform, patiently)
    platform.start(job_id, b"first\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    platform.print(job_id, b"second\n")
    platform.finish(job_id, metrics={"accuracy": 0.9}, model_version="1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "second\n")
    assert f"{job_id} completed" in err
    assert "registered as churn version 1" in err


def test_command_line_prints_json(url: str, platform: Any, client: Client):
    job = client.train(script_content="pass", model="churn")
    out, _ = command(url, *COMMAND, "jobs", "show", job.job_id, "-o", "json").communicate(timeout=60)
    assert json.loads(out)["job_id"] == job.job_id
    process = command(url, *COMMAND, "jobs", "show", "job_nope")
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 3


def upload(url: str, script: Path, *args: str) -> subprocess.Popen[str]:
    return command(url, sys.executable, str(EXAMPLE), "--script", str(script), "--experiment", "e", *args)


def test_upload_example_prints_metrics_version_and_a_command(url: str, platform: Any, tmp_path: Path, patiently: Until):
    (tmp_path / "my_model.py").write_text("print('grün')", encoding="utf-8")
    process = upload(
        url, tmp_path / "my_model.py", "--model", "churn", "--requirements", "a", "b", "--env", "K=V=W", "--env", "L="
    )
    job_id = queued(platform, patiently)
    spec = platform.store.jobs.get(job_id).spec
    assert (spec.script_name, spec.requirements, dict(spec.environment)) == ("my_model.py", ("a", "b"), {"K": "V=W", "L": ""})
    assert platform.store.jobs.script(spec.script_sha256).decode() == "print('grün')"
    platform.registry.register("churn", "1")
    platform.deploy("churn", "1")
    platform.start(job_id, b"hi\n")
    platform.finish(job_id, metrics={"accuracy": 0.9}, model_version="1", mlflow_run_id="r1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "metric accuracy" in out
    assert "churn version 1" in out
    assert """-d '{"model_name": "churn", "model_version": "1", "inputs": {"age": [1.0, 2.0]}}\'""" in out
    assert "queued" in err


def test_upload_example_fails_with_reason_and_output(url: str, platform: Any, tmp_path: Path, patiently: Until):
    (tmp_path / "s.py").write_text("pass")
    process = upload(url, tmp_path / "s.py")
    job_id = queued(platform, patiently)
    platform.start(job_id, b"ValueError: age\n")
    platform.finish(job_id, JobState.FAILED, reason=Reason.SCRIPT_ERROR, message="exit code 1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "script_error: exit code 1" in err
    assert "  ValueError: age" in err


def test_upload_example_names_the_line_of_a_syntax_error(url: str, tmp_path: Path):
    (tmp_path / "s.py").write_text("x = 1\ndef broken(:\n")
    process = upload(url, tmp_path / "s.py")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{tmp_path / 's.py'}:2:" in err

"""``cluster``, ``queue``, ``status URL``, dry runs, signatures, ``@last``, completion, and errors as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from raylift.cli.names import complete_job, complete_model

Run = Callable[..., Result]
JOBS = "/mlops/training/jobs"
UPLOAD = "/mlops/training/upload"
HELD = {"jobs": 1, "cpus": 2.0, "memory": 2**31, "gpus": 0.0}
HOLDER = {
    "job_id": "job_A",
    "owner": "ann",
    "model_name": "churn",
    "phase": "script",
    "node": "box",
    "cpus": 2.0,
    "memory": 2**31,
    "gpus": 0.0,
    "since": "2026-01-02T03:04:05Z",
    "ends_by": None,
}
CHECK = {
    "script_name": "train.py",
    "entrypoint": None,
    "experiment_name": "churn",
    "model_name": "churn",
    "owner": "ann",
    "workspace": "default",
    "requirements": ["scikit-learn"],
    "requirements_source": "request",
    "resources": {"cpus": 2.0, "memory": 2**31, "gpus": 0.0, "workers": None},
    "data": {},
    "after": [],
    "output_dataset": None,
    "timeout_seconds": 600,
    "isolation": "sandbox",
    "network": "full",
    "jobs": 6,
    "nodes": ["box"],
    "queue_position": 3,
    "waits_for": "2 jobs wait before it.",
    "notes": ["train.py, line 4: lerning_rate is not defined."],
}
MODEL = {
    "model_name": "churn",
    "latest_version": "7",
    "ready_versions": [],
    "aliases": {},
    "tags": {},
    "description": None,
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05Z",
}
SYNTAX = [{"field": "script_content", "detail": "invalid syntax", "line": 3, "column": 7}]


def test_cluster_shows_nodes_holders_and_replicas(run: Run, platform: Any):
    node = {"node_id": "n", "name": "box", "is_head": True, "cpus": 4.0, "memory": 2**33, "gpus": 0.0, "reserved_cpus": 1.0}
    replica = {"model_name": "churn", "model_version": "3", "replicas": 2, "cpus": 0.2, "memory": None}
    other = HOLDER | {"job_id": None, "owner": None}
    answer = {"nodes": [node | {"held": HELD}], "holders": [HOLDER, other], "replicas": [replica], "queued": 1}
    platform.on("GET", "/mlops/cluster", answer)
    done = run("cluster")
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["box", "(head)", "2", "of", "4", "2", "GiB", "of", "8", "GiB", "-", "1", "CPU", "1"]
    assert lines[4].startswith("job_A") and " ann " in lines[4]
    assert lines[5].startswith("(another workspace)")
    assert lines[8].split()[:4] == ["churn", "v3", "2", "0.2"]
    assert done.stderr == "1 job waits: raylift queue\n"


def test_queue_shows_places_reasons_and_owners(run: Run, platform: Any, job: Any):
    quota = {"max_running_jobs": 2, "max_queued_jobs": None, "max_cpus": 4.0, "max_memory": None}
    waiting = job("queued", queue_position=1, owner="bob", message="It waits for 2 CPUs.", reason="waiting_for_capacity")
    owners = [{"owner": "ann", "held": HELD, "queued": 0, "quota": quota}]
    kept = {"node": "box", "node_id": "n", "job_id": "job_B", "owner": "bob", "model_name": None}
    answer = {"total": 3, "waiting": [waiting], "holders": [HOLDER], "owners": owners, "reservation": kept}
    platform.on("GET", "/mlops/queue", answer)
    done = run("queue", "-n", "1")
    lines = done.stdout.splitlines()
    assert lines[1].split()[0] == "1" and "bob" in lines[1] and lines[1].endswith("It waits for 2 CPUs.")
    assert lines[-1].split() == ["ann", "1", "of", "2", "0", "2", "of", "4", "2", "GiB"]
    said = "Node box is set aside for job job_B of bob: no other job starts there until it fits."
    assert done.stderr == f"2 more wait.\n{said}\n"


def test_status_of_a_url_needs_no_directory(run: Run, platform: Any):
    limits = {"max_script_bytes": 1, "min_timeout_seconds": 60, "max_timeout_seconds": 3600}
    overview: dict[str, Any] = {"version": "1", "parts": {"store": {"ok": True}}, "jobs": {"queued": 2}}
    overview |= {"deployments": {}, "failures": {}}
    platform.on("GET", "/mlops/overview", overview | {"limits": limits})
    done = run("status", platform.url)
    assert (done.exit_code, "2 queued" in done.stdout, platform.url in done.stdout) == (0, True, True)
    overview["parts"] = {"mlflow": {"ok": False, "detail": "MLflow is away"}}
    platform.on("GET", "/mlops/overview", overview | {"limits": limits})
    done = run("status", platform.url)
    assert (done.exit_code, "MLflow is away" in done.stdout) == (1, True)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("print(1)\n")
    return path


def test_dry_run_prints_what_would_happen(run: Run, platform: Any, script: Path):
    platform.on("POST", UPLOAD, CHECK)
    done = run("train", str(script), "--model", "churn", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert platform.requests[0][1] == f"{UPLOAD}?dry_run=true"
    for text in ("6 jobs of one sweep", "2 CPU, 2 GiB, 600 s at most", "2 jobs wait before it.", "box"):
        assert text in done.stdout
    assert "lerning_rate" in done.stderr and "Nothing was stored." in done.stderr
    assert json.loads(run("train", str(script), "--dry-run", "-o", "json").stdout) == CHECK


def test_check_prints_warnings_and_fails_on_a_syntax_error(run: Run, platform: Any, script: Path):
    platform.on("POST", UPLOAD, CHECK)
    assert run("train", str(script), "--check").stdout == "train.py, line 4: lerning_rate is not defined.\n"
    platform.refuse("POST", UPLOAD, 422, "invalid_request", "The script does not compile.", errors=SYNTAX)
    done = run("train", str(script), "--check")
    assert (done.exit_code, f"{script}:3:7: invalid syntax" in done.stderr) == (1, True)
    assert run("train", str(script), "--dry-run").exit_code == 2


def test_signature_is_that_of_the_newest_version_or_of_a_named_one(run: Run, platform: Any):
    model = {
        "model_name": "churn",
        "latest_version": "7",
        "aliases": {},
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "versions": [{"model_version": "7"}, {"model_version": "2"}],
    }
    found = {
        "model_name": "churn",
        "inputs": [{"name": "months", "type": "long", "required": True}],
        "tensors": [],
        "params": [],
        "example": {"months": [3]},
    }
    platform.on("GET", "/mlops/models/churn", model)
    for version in ("7", "2"):
        platform.on("GET", f"/mlops/models/churn/versions/{version}/signature", found | {"model_version": version})
    done = run("models", "signature", "churn")
    assert done.stdout.splitlines()[1].split() == ["months", "long", "true"]
    assert done.stdout.endswith('example: {"months": [3]}\n')
    assert done.stderr == "churn version 7\n"
    assert run("models", "signature", "churn@2").stderr == "churn version 2\n"


@pytest.mark.parametrize("command", [("jobs", "show"), ("jobs", "events"), ("jobs", "logs"), ("env", "show")])
def test_last_is_the_newest_job(run: Run, platform: Any, job: Any, job_id: str, command: tuple[str, str]):
    platform.on("GET", JOBS, {"jobs": [job()], "next_cursor": None})
    run(*command, "@last")
    assert platform.requests[0][1] == f"{JOBS}?limit=1"
    assert job_id in platform.requests[1][1]


def test_last_without_a_job_is_not_found(run: Run, platform: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAYLIFT_OWNER", "ann")
    platform.on("GET", JOBS, {"jobs": [], "next_cursor": None})
    done = run("jobs", "cancel", "@last")
    assert (done.exit_code, done.stderr) == (3, "Error: @last: ann has no job\n")
    assert platform.requests[0][1] == f"{JOBS}?owner=ann&limit=1"


def test_shells_complete_jobs_and_models(platform: Any, job: Any, job_id: str):
    platform.on("GET", JOBS, {"jobs": [job()], "next_cursor": None})
    assert complete_job("job_") == [(job_id, "running churn")]
    assert complete_job("@") == [("@last", "the newest job")]
    model = {
        "model_name": "churn",
        "latest_version": "7",
        "aliases": {},
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }
    platform.on("GET", "/mlops/models", {"models": [model | {"ready_versions": []}]})
    assert complete_model("ch") == [("churn", "version 7")]
    assert complete_model("x") == []


def test_completion_is_silent_without_a_platform(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAYLIFT_URL", "http://127.0.0.1:9")
    assert complete_job("") == []


def test_errors_are_json_where_asked(run: Run, platform: Any, script: Path):
    platform.refuse("GET", f"{JOBS}/nope", 404, "job_not_found", "There is no job nope.")
    done = run("jobs", "show", "nope", "-o", "json")
    assert (done.exit_code, done.stdout) == (3, "")
    assert json.loads(done.stderr) | {"title": ""} == {
        "title": "",
        "status": 404,
        "code": "job_not_found",
        "detail": "There is no job nope.",
    }
    platform.refuse("POST", UPLOAD, 422, "invalid_request", "The script does not compile.", errors=SYNTAX)
    done = run("-o", "json", "train", str(script))
    assert (done.exit_code, json.loads(done.stderr)["errors"]) == (2, SYNTAX)


def test_list_shows_owner_resources_and_place(run: Run, platform: Any, job: Any):
    waiting = job("queued", queue_position=4, reason="waiting_for_quota", owner="ann")
    platform.on("GET", JOBS, {"jobs": [waiting], "next_cursor": None})
    lines = run("jobs", "list").stdout.splitlines()
    assert lines[0].split() == ["JOB", "STATUS", "MODEL", "OWNER", "CPUS", "MEMORY", "AGE"]
    assert "queued #4 (waiting_for_quota)" in lines[1]
    assert lines[1].split()[-5:-1] == ["ann", "1", "2", "GiB"]

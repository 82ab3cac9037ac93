from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

Run = Callable[..., Result]
JOBS = "/mlops/training/jobs"


def test_list_is_one_line_a_job(run: Run, platform: Any, job: Any, job_id: str):
    jobs = [
        job("queued", reason="waiting_for_capacity"),
        job("completed", model_version="12"),
        job("failed", reason="environment_error", model_name=None),
    ]
    platform.on("GET", JOBS, {"jobs": jobs, "next_cursor": "abc"})
    done = run("jobs", "list", "--status", "failed", "-m", "churn", "--tag", "a=b", "--reason", "timeout", "-n", "3")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["JOB", "STATUS", "MODEL", "OWNER", "CPUS", "MEMORY", "AGE"]
    assert lines[1].startswith(f"{job_id}  queued (waiting_for_capacity)  churn")
    assert "churn v12" in lines[2]
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in done.stdout
    assert done.stderr == "There are more: --cursor abc\n"
    assert platform.requests[0][1] == f"{JOBS}?status=failed&model_name=churn&tag=a%3Db&reason=timeout&limit=3"


def test_long_name_stays_on_one_line_in_a_pipe(run: Run, platform: Any, job: Any):
    platform.on("GET", JOBS, {"jobs": [job(model_name="m" * 128)], "next_cursor": None})
    lines = run("jobs", "list").stdout.splitlines()
    assert len(lines) == 2
    assert "m" * 128 in lines[1]


def test_json_output_is_the_api_s_answer(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("GET", JOBS, {"jobs": [job()], "next_cursor": None})
    platform.on("GET", f"{JOBS}/{job_id}", job())
    assert json.loads(run("jobs", "list", "-o", "json").stdout) == {"jobs": [job()], "next_cursor": None}
    assert json.loads(run("jobs", "show", job_id, "-o", "json").stdout) == job()


def test_show_prints_the_facts_of_a_job(run: Run, platform: Any, job: Any, job_id: str):
    usage = {"cpu_seconds": 3.21, "peak_memory_bytes": 2**28, "wall_seconds": 2.0, "memory_enforced_by": "watchdog"}
    gate = {"alias": "champion", "when": "auc > 0.5", "outcome": "kept", "message": "No: auc = 0.4.", "values": {"auc": 0.4}}
    unknown = dict.fromkeys(("champion", "rollout_id", "decided_at"))
    told = {"metrics": {"accuracy": 0.987654321}, "usage": usage, "phases": {"script": 2.04}, "promotion": gate | unknown}
    seen = job("completed", model_version="3", **told)
    platform.on("GET", f"{JOBS}/{job_id}", seen)
    facts = dict(line.split(None, 1) for line in run("jobs", "show", job_id).stdout.splitlines())
    assert facts["status"].strip() == "completed"
    assert facts["model"].strip() == "churn version 3"
    assert facts["gate"].strip() == "kept: No: auc = 0.4."
    assert facts["metrics"].strip() == "accuracy=0.987654"
    assert facts["used"].strip() == "3.2 CPU s, 256 MiB at most"
    assert facts["phases"].strip() == "script 2.0 s"
    assert "reason" not in facts


def test_logs_prints_the_output(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("GET", f"{JOBS}/{job_id}", job("completed"))
    platform.on("GET", f"{JOBS}/{job_id}/logs", "one\ntwo\nthree")
    assert run("jobs", "logs", job_id).stdout == "one\ntwo\nthree\n"
    run("jobs", "logs", job_id, "--tail", "2")
    assert platform.requests[-1][1] == f"{JOBS}/{job_id}/logs?tail=2"
    assert json.loads(run("jobs", "logs", job_id, "-o", "json").stdout) == {"job_id": job_id, "logs": "one\ntwo\nthree"}


def test_logs_follow_prints_output_as_it_comes(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("GET", f"{JOBS}/{job_id}", job("running"))
    platform.on("GET", f"{JOBS}/{job_id}/logs", "data: one\n\nevent: end\ndata: completed\n\n")
    assert run("jobs", "logs", job_id, "-f").stdout == "one\n"
    assert json.loads(run("jobs", "logs", job_id, "-f", "-o", "json").stdout) == {"line": "one"}
    run("jobs", "logs", job_id, "-f", "--tail", "5")
    assert platform.requests[-1][1] == f"{JOBS}/{job_id}/logs?follow=true&tail=5"


def test_wait_ends_with_the_job(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("GET", f"{JOBS}/{job_id}", job("completed"))
    assert run("jobs", "wait", job_id).exit_code == 0
    platform.on("GET", f"{JOBS}/{job_id}", job("cancelled", reason="cancelled_by_user"))
    assert run("jobs", "wait", job_id).exit_code == 1
    platform.on("GET", f"{JOBS}/{job_id}", job("running"))
    done = run("jobs", "wait", job_id, "--timeout", "0.01")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "is still running" in done.stderr


def test_cancel_requests_the_cancel(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("POST", f"{JOBS}/{job_id}/cancel", job("running"), status=202)
    platform.on("GET", f"{JOBS}/{job_id}", job("running"))
    done = run("jobs", "cancel", job_id)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"{job_id} is told to stop" in done.stderr
    platform.on("GET", f"{JOBS}/{job_id}", job("completed"))
    assert f"{job_id} is completed" in run("jobs", "cancel", job_id).stderr
    assert json.loads(run("jobs", "cancel", job_id, "-o", "json").stdout) == job("running")


def test_rerun_makes_a_new_job(run: Run, platform: Any, job: Any, job_id: str):
    accepted = {"job_id": "job_2", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "m", "links": {}}
    platform.on("GET", f"{JOBS}/{job_id}", job("completed"))
    platform.on("POST", f"{JOBS}/{job_id}/rerun", accepted, status=202)
    assert run("jobs", "rerun", job_id).stdout == "job_2\n"
    assert json.loads(run("jobs", "rerun", job_id, "-o", "json").stdout) == accepted


def test_rerun_takes_changes(run: Run, platform: Any, job: Any, job_id: str):
    accepted = {"job_id": "job_2", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "m", "links": {}}
    platform.on("GET", f"{JOBS}/{job_id}", job("completed"))
    platform.on("POST", f"{JOBS}/{job_id}/rerun", accepted, status=202)
    options = [
        "--arg",
        "--n",
        "--arg",
        "2",
        "--env",
        "A=b=c",
        "--param",
        "lr=0.1",
        "--data",
        "train=t@2",
        "--cpus",
        "2",
        "--memory",
        "1GiB",
    ]
    assert run("jobs", "rerun", job_id, *options, "--no-deploy", "--take-traffic").exit_code == 0
    assert run("jobs", "rerun", job_id).exit_code == 0
    assert run("jobs", "rerun", job_id, "--env", "A").exit_code == 2
    assert platform.sent("POST", f"{JOBS}/{job_id}/rerun") == [
        {
            "args": ["--n", "2"],
            "environment": {"A": "b=c"},
            "params": {"lr": "0.1"},
            "data": {"train": "t@2"},
            "resources": {"cpus": 2.0, "memory": "1GiB"},
            "deploy": False,
            "take_traffic": True,
        },
        None,
    ]


def test_parameters_are_shown_with_their_values(run: Run, platform: Any, job: Any, job_id: str):
    shown = {"params": {"lr": "0.1"}, "environment": {"lr": "***", "TOKEN": "***"}, "sweep_parameters": {"depth": "3"}}
    platform.on("GET", f"{JOBS}/{job_id}", job("completed", **shown))
    lines = dict(line.split(maxsplit=1) for line in run("jobs", "show", job_id).stdout.splitlines())
    assert (lines["parameters"], lines["environment"]) == ("lr=0.1, depth=3", "TOKEN")


def test_delete_removes_a_job(run: Run, platform: Any, job_id: str):
    platform.on("DELETE", f"{JOBS}/{job_id}", None, status=204)
    done = run("jobs", "delete", job_id)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"{job_id} is deleted\n")
    platform.refuse("DELETE", f"{JOBS}/{job_id}", 409, "job_not_finished", "It still runs.")
    done = run("jobs", "delete", job_id)
    assert (done.exit_code, done.stderr) == (1, "Error: It still runs.\n")


def test_events_lists_transitions(run: Run, platform: Any, job_id: str):
    event = {"at": "2026-01-02T03:04:05Z", "before": "script", "after": "failed", "status": "failed", "attempt": 2}
    events = {"job_id": job_id, "events": [event | {"reason": "script_error", "message": "exit code 1"}]}
    platform.on("GET", f"{JOBS}/{job_id}/events", events)
    header, row = run("jobs", "events", job_id).stdout.splitlines()
    assert header.split() == ["AT", "ATTEMPT", "FROM", "TO", "WHY"]
    assert row.split()[2:] == ["2", "script", "failed", "script_error:", "exit", "code", "1"]
    assert json.loads(run("jobs", "events", job_id, "-o", "json").stdout) == events


def test_diff_shows_what_differs(run: Run, platform: Any):
    diff = {
        "first": "job_a",
        "second": "job_b",
        "same": False,
        "script": "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n",
        "project": [{"name": "pkg/a.py", "change": "changed"}, {"name": "new.py", "change": "added"}],
        "requirements": {"removed": ["numpy<2"], "added": ["numpy>=2"]},
        "environment_lock": {"removed": [], "added": []},
        "args": {"name": "args", "first": ["1"], "second": []},
        "environment": [{"name": "SECRET", "change": "changed"}],
        "resources": [{"name": "cpus", "first": 1.0, "second": 2.0}],
        "settings": [{"name": "model_name", "first": None, "second": "churn"}],
        "metrics": [],
    }
    platform.on("GET", "/mlops/training/jobs/job_a/diff/job_b", diff)
    done = run("jobs", "diff", "job_a", "job_b")
    assert done.exit_code == 0
    assert done.stdout == (
        "requirements:\n  - numpy<2\n  + numpy>=2\n"
        'arguments:\n  args: ["1"] -> []\n'
        "environment:\n  ~ SECRET\n"
        "resources:\n  cpus: 1.0 -> 2.0\n"
        "settings:\n  model_name: - -> churn\n"
        "project:\n  ~ pkg/a.py\n  + new.py\n"
        "script:\n--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n"
    )
    assert json.loads(run("jobs", "diff", "job_a", "job_b", "--output", "json").stdout) == diff


def test_diff_of_equal_jobs_says_so(run: Run, platform: Any):
    nothing: dict[str, Any] = {"removed": [], "added": []}
    diff = {"first": "a", "second": "b", "same": True, "script": None, "args": None}
    diff |= dict.fromkeys(("requirements", "environment_lock"), nothing)
    diff |= {name: [] for name in ("project", "environment", "resources", "settings", "metrics")}
    platform.on("GET", "/mlops/training/jobs/a/diff/b", diff)
    done = run("jobs", "diff", "a", "b")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Both ask for the same.\n")

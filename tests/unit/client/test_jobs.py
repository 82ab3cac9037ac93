from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from rich.console import Console

from raylift import Client, Conflict, ConnectionFailed, JobCancelled, JobFailed, JobWaitTimeout
from raylift.api.training import JobView
from raylift.client.jobs.progress import ProgressDisplay

JOB = "/mlops/training/jobs/job_1"
Make = Callable[..., dict[str, Any]]


def views(platform: Any, *jobs: dict[str, Any] | Exception) -> None:
    platform.on("GET", JOB, *(job if isinstance(job, Exception) else httpx.Response(200, json=job) for job in jobs))


def test_wait_ends_with_the_job(client: Client, platform: Any, clock: Any, make_job: Make):
    done = make_job("completed", metrics={"accuracy": 0.9}, model_version="3", duration_seconds=2.5)
    views(platform, make_job("queued"), make_job("running", "script"), done)
    job = client.jobs.get("job_1").wait(progress=False)
    assert (job.status, job.is_final, job.metrics, job.model_version) == ("completed", True, {"accuracy": 0.9}, "3")
    assert clock.slept == [0.5]
    assert repr(job) == "<Job job_1 completed>"


def test_wait_raises_a_failure_with_reason_message_and_output(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("failed", reason="script_error", message="exit code 1", logs="Traceback\nValueError: age\n"))
    with pytest.raises(JobFailed, match=r"job_1 failed with script_error: exit code 1\nTraceback\nValueError: age") as caught:
        client.jobs.get("job_1").wait(progress=False)
    assert (caught.value.reason, caught.value.message) == ("script_error", "exit code 1")
    assert caught.value.log_tail.endswith("ValueError: age\n")
    assert caught.value.job.job_id == "job_1"


def test_wait_raises_for_a_cancelled_job(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("cancelled", reason="cancelled_by_user"))
    with pytest.raises(JobCancelled, match="job_1 was cancelled"):
        client.jobs.get("job_1").wait(progress=False)


def test_wait_can_return_a_failed_job(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("failed", reason="timeout"))
    assert client.jobs.get("job_1").wait(progress=False, raise_on_failure=False).reason == "timeout"


def test_wait_ends_at_its_timeout(client: Client, platform: Any, clock: Any, make_job: Make):
    views(platform, make_job("running", "script"))
    job = client.jobs.get("job_1")
    with pytest.raises(JobWaitTimeout, match=r"job_1 is still running \(script\) after 1.2 s") as caught:
        job.wait(1.2, progress=False)
    assert caught.value.view is not None
    assert caught.value.view.status == "running"
    assert sum(clock.slept) == pytest.approx(1.2)


def test_wait_survives_a_restart_of_the_platform(client: Client, platform: Any, make_job: Make):
    refused = httpx.ConnectError("refused")
    views(platform, make_job("running"), *[refused] * 12, make_job("completed"))
    seen: list[tuple[str | None, bool]] = []
    job = client.jobs.get("job_1").wait(progress=lambda view, error: seen.append((view and view.status, error is not None)))
    assert job.status == "completed"
    assert seen == [(None, True), (None, True), (None, True), ("completed", False)]


def test_wait_ends_if_the_platform_stays_away(client: Client, platform: Any, clock: Any, make_job: Make):
    views(platform, make_job("running"), httpx.ConnectError("refused"))
    started = clock.now()
    with pytest.raises(ConnectionFailed):
        client.jobs.get("job_1").wait(progress=False)
    assert 60 < clock.now() - started < 70


def test_list_is_fetched_page_by_page_as_it_is_read(client: Client, platform: Any, make_job: Make):
    def page(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", "0"))
        size = int(request.url.params["limit"])
        jobs = [make_job("completed", job_id=f"job_{n}") for n in range(start, min(start + size, 5))]
        following = start + size
        return httpx.Response(200, json={"jobs": jobs, "next_cursor": str(following) if following < 5 else None})

    platform.on("GET", "/mlops/training/jobs", page)
    jobs = client.jobs.list(status="completed", model="m", tag="a=b", reason="data_error", page_size=2)
    assert platform.requests == []
    assert next(jobs).job_id == "job_0"
    assert len(platform.requests) == 1
    assert [job.job_id for job in jobs] == ["job_1", "job_2", "job_3", "job_4"]
    assert len(platform.requests) == 3
    assert dict(platform.requests[1].url.params) == {
        "status": "completed",
        "model_name": "m",
        "tag": "a=b",
        "reason": "data_error",
        "limit": "2",
        "cursor": "2",
    }
    assert [job.job_id for job in client.jobs.list(limit=3, page_size=2)] == ["job_0", "job_1", "job_2"]


def test_fields_of_a_listed_job_need_no_request(client: Client, platform: Any, make_job: Make):
    platform.on("GET", "/mlops/training/jobs", httpx.Response(200, json={"jobs": [make_job()], "next_cursor": None}))
    views(platform, make_job("completed", metrics={"a": 1.0}))
    (job,) = client.jobs.list()
    assert (job.status, job.model_name, job.tags, job.reason) == ("running", "churn", {}, None)
    assert len(platform.requests) == 1
    assert job.metrics == {"a": 1.0}
    assert (len(platform.requests), job.status) == (2, "completed")


def test_handle_reads_cancels_reruns_and_deletes(client: Client, platform: Any, make_job: Make, accepted: dict[str, Any]):
    views(platform, make_job())
    platform.on("POST", JOB + "/cancel", httpx.Response(202, json=make_job()))
    platform.on("POST", JOB + "/rerun", httpx.Response(202, json=accepted | {"job_id": "job_2"}))
    platform.on("GET", JOB + "/script", httpx.Response(200, text="print('ä')"))
    platform.on("GET", JOB + "/logs", httpx.Response(200, text="ä\n"))
    platform.on("DELETE", JOB, httpx.Response(409, json={"detail": "it runs", "code": "job_not_finished"}))
    event = {"at": "2026-01-02T03:04:05Z", "before": None, "after": "queued", "status": "queued", "attempt": 1}
    event |= {"reason": None, "message": None}
    platform.on("GET", JOB + "/events", httpx.Response(200, json={"job_id": "job_1", "events": [event]}))
    report = {"subject": "script", "tool": "bandit", "state": "clean", "findings": [], "detail": None}
    platform.on("GET", JOB + "/reports", httpx.Response(200, json={"reports": [report]}))
    job = client.jobs.get("job_1")
    assert job.reports()[0].tool == "bandit"
    assert job.cancel() is job
    assert (job.rerun().job_id, job.script(), job.logs(), job.events()[0].after) == ("job_2", "print('ä')", "ä\n", "queued")
    with pytest.raises(Conflict, match="it runs"):
        job.delete()


def stream(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Chunks(chunks))


class _Chunks(httpx.SyncByteStream):
    def __init__(self, chunks: tuple[bytes, ...]) -> None:
        self.chunks = chunks

    def __iter__(self):
        for chunk in self.chunks:
            if chunk == b"BREAK":
                raise httpx.ReadError("reset")
            yield chunk


def test_follow_resumes_at_its_position(client: Client, platform: Any, make_job: Make):
    views(platform, *[make_job("running")] * 5, make_job("completed"))
    platform.on(
        "GET",
        JOB + "/logs",
        stream(b"id: 4\ndata: one\n\n: keep-alive\n\nid: 8\ndata: t", b"wo\n\nid: 12\ndata: thr", b"BREAK"),
        httpx.Response(503, json={"detail": "not now", "code": "unavailable"}),
        stream(b"id: 18\ndata: three\ndata: four\n\n"),
        stream(b'id: 2:0\nevent: attempt\ndata: {"attempt":2}\n\n', b"BREAK"),
        stream(b"id: 2:5\ndata: five\n\nevent: end\nid: 2:5\ndata: completed\n\ndata: never\n\n"),
    )
    assert list(client.jobs.get("job_1").logs(follow=True)) == ["one", "two", "three", "four", "five"]
    asked = [request.headers.get("Last-Event-ID") for request in platform.requests if request.url.path.endswith("/logs")]
    assert asked == [None, "8", "8", "18", "2:0"]


def test_follow_ends_with_the_job_without_an_end_event(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("running"), make_job("running"), make_job("completed"))
    platform.on("GET", JOB + "/logs", stream(b"id: 2\ndata: a\n\n"), stream(b"id: 4\ndata: b\n\n"), stream())
    assert list(client.jobs.get("job_1").logs(follow=True)) == ["a", "b"]


def test_follow_raises_if_the_platform_stays_away(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("running"), make_job("running"))
    platform.on("GET", JOB + "/logs", httpx.ConnectError("refused"))
    with pytest.raises(ConnectionFailed):
        list(client.jobs.get("job_1").logs(follow=True))


def test_progress_without_a_terminal_is_one_line_per_phase(capsys: pytest.CaptureFixture[str], make_job: Make):
    with ProgressDisplay("job_1") as display:
        for phases in ({"queued": 0.2}, {"queued": 0.7}):
            display(JobView.model_validate(make_job("queued", phases=phases, reason="waiting_for_capacity")), None)
        display(None, ConnectionFailed("refused", method="GET", url="u"))
        display(None, ConnectionFailed("refused", method="GET", url="u"))
        display(JobView.model_validate(make_job("running", "script", phases={"queued": 0.9, "script": 0.1})), None)
        display(JobView.model_validate(make_job("failed", phases={"script": 3.0}, reason="script_error")), None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "job_1 queued 0.2 s waiting for capacity",
        "job_1: trying again, the platform does not answer (refused)",
        "job_1 script 0.1 s (queued 0.9 s)",
        "job_1 failed [script_error] (script 3.0 s)",
    ]


def test_progress_of_a_download_is_one_line_per_tenth(capsys: pytest.CaptureFixture[str], make_job: Make):
    looks = [{"downloaded": done, "size": 2**21} for done in (0, 2**20, 2**20 + 1)]
    with ProgressDisplay("job_1") as display:
        for look in looks:
            job = make_job("queued", "environment", environment_progress=look, environment_note="5 GiB of CUDA")
            display(JobView.model_validate(job), None)
    assert capsys.readouterr().err.splitlines() == [
        "Note: 5 GiB of CUDA",
        "job_1 environment 0 B of 2 MiB downloaded",
        "job_1 environment 1 MiB of 2 MiB downloaded",
    ]


def test_progress_on_a_terminal_is_one_live_line(make_job: Make):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, highlight=False)
    with ProgressDisplay("job_1", console) as display:
        display(JobView.model_validate(make_job("running", "script", phases={"queued": 0.9, "script": 0.1})), None)
        display(None, ConnectionFailed("[Errno 111] refused", method="GET", url="u"))
        display(JobView.model_validate(make_job("completed", phases={"script": 3.0})), None)
    last = screen.getvalue()
    assert "job_1 completed (script 3.0 s)\n" in last.replace("\r", "")
    assert "\x1b[?25h" in last  # the cursor is visible again


def test_list_of_an_older_platform_is_read(client: Client, platform: Any, make_job: Make):
    older = {name: value for name, value in make_job("running").items() if name not in {"phase", "resources", "workspace"}}
    platform.on("GET", "/mlops/training/jobs", httpx.Response(200, json={"jobs": [older], "next_cursor": None}))
    (job,) = client.jobs.list()
    assert (job.status, job.summary.phase, job.summary.resources.cpus) == ("running", "", 0)


def test_attempts_are_listed(client: Client, platform: Any, make_job: Make):
    at = "2026-03-01T12:00:00Z"
    attempt = {
        "number": 1,
        "ray_submission_id": "job_1-a1",
        "created_at": at,
        "started_at": at,
        "finished_at": at,
        "exit_code": 1,
        "reason": "script_error",
        "message": "it fell",
        "usage": None,
    }
    views(platform, make_job("failed", reason="script_error"))
    platform.on("GET", f"{JOB}/attempts", httpx.Response(200, json={"job_id": "job_1", "attempts": [attempt]}))
    assert [(item.number, item.reason) for item in client.jobs.get("job_1").attempts()] == [(1, "script_error")]


def test_metric_curves_are_asked_for_by_name(client: Client, platform: Any, make_job: Make):
    views(platform, make_job("running", "script"))
    point = {"step": 3, "at": "2026-03-01T12:00:00Z", "value": None}
    body = {"job_id": "job_1", "mlflow_run_id": "r1", "params": {"lr": "0.1"}, "left_out": []}
    body |= {"metrics": [{"name": "loss", "points": [point]}]}
    platform.on("GET", f"{JOB}/metrics", httpx.Response(200, json=body))
    (loss,) = client.jobs.get("job_1").metric_history("loss", "auc", points=20).metrics
    assert (loss.name, loss.points[0].step, math.isnan(loss.points[0].value)) == ("loss", 3, True)
    assert platform.requests[-1].url.params.multi_items() == [("metric", "loss"), ("metric", "auc"), ("points", "20")]

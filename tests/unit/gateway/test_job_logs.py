from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job, JobState, JobStatus
from raylift.services.jobs.log_follower import AttemptStarted, Ended, Lines, LogEvent, LogFollower
from raylift.services.jobs.logs import LogFile
from serve_apps.gateway.routers.job_logs import _encoded, _lines
from tests.unit.gateway.conftest import Platform

JOBS = "/mlops/training/jobs"


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    body = {"script_content": "print(1)", "experiment_name": "e"}
    return (await client.post("/mlops/training/upload", json=body)).json()["job_id"]


async def logs(client: httpx.AsyncClient, job_id: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    return await client.get(f"{JOBS}/{job_id}/logs", params=query, headers=headers)


async def test_log_is_empty_before_the_script_starts(client: httpx.AsyncClient, job_id: str) -> None:
    answer = await logs(client, job_id)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "", "text/plain; charset=utf-8")


@pytest.mark.parametrize("final", [False, True])
async def test_whole_log_is_read(client: httpx.AsyncClient, platform: Platform, job_id: str, final: bool) -> None:
    output = "zeile ä\n".encode() * 100_000
    platform.start(job_id, output)
    if final:
        platform.finish(job_id)
    answer = await logs(client, job_id)
    assert answer.content == output
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_part_of_a_finished_log_is_read(client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
    platform.start(job_id, b"0123456789")
    platform.finish(job_id)
    answer = await logs(client, job_id, {"Range": "bytes=3-5"})
    assert (answer.status_code, answer.content) == (206, b"345")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("bytes=10-20", 416, "range_not_satisfiable"),
        ("lines=1-2", 422, "invalid_request"),
        ("bytes", 422, "invalid_request"),
        ("bytes=", 422, "invalid_request"),
        ("bytes=5-3", 422, "invalid_request"),
    ],
)
async def test_malformed_range_is_refused(
    client: httpx.AsyncClient, platform: Platform, job_id: str, asked: str, status: int, code: str
) -> None:
    platform.start(job_id, b"0123456789")
    platform.finish(job_id)
    answer = await logs(client, job_id, {"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert asked in answer.json()["detail"]
    assert answer.headers.get("content-range") == ("bytes */10" if status == 416 else None)


async def test_job_resource_has_the_end_of_the_log(client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
    platform.start(job_id, b"first\n" + "ä".encode() * 40_000 + b"\xff\n")
    tail = (await client.get(f"{JOBS}/{job_id}")).json()["logs"]
    assert len(tail.encode()) <= 64 * 1024 + 2
    assert tail.startswith("ä")
    assert tail.endswith("ä\ufffd\n")


@pytest.mark.parametrize(
    ("output", "count", "expected"),
    [
        (b"a\nb\nc\n", 2, "b\nc\n"),
        (b"a\nb\nc", 2, "b\nc"),
        (b"a\n", 5, "a\n"),
        (b"a\nb\n", 0, ""),
        (b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\n", 1, "y" * 100_000 + "\n"),
        (b"n\n" * 200_000, 3, "n\nn\nn\n"),
        (b"n\n" * 200_000, 100_000, "n\n" * 100_000),
        (b"10%\r" * 200_000 + b"done", 3, "10%\r10%\rdone"),
        (b"a\r\nb\r\nc\r\n", 2, "b\r\nc\r\n"),
        # The first block starts between CR and LF.
        (b"a\r\nb\r\n" + b"c" * (64 * 1024 - 1), 2, "b\r\n" + "c" * (64 * 1024 - 1)),
        (b"a\r\nb\r\n" + b"c" * (64 * 1024 - 1), 1, "c" * (64 * 1024 - 1)),
    ],
)
async def test_last_lines_are_read(
    client: httpx.AsyncClient, platform: Platform, job_id: str, output: bytes, count: int, expected: str
) -> None:
    platform.start(job_id, output)
    assert (await logs(client, job_id, tail=count)).text == expected


async def test_last_lines_of_a_progress_bar_need_few_reads(
    platform: Platform, job_id: str, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    read = LogFile.read

    def counted(self: LogFile, offset: int, limit: int) -> bytes:
        taken.append(limit)
        return read(self, offset, limit)

    monkeypatch.setattr(LogFile, "read", counted)
    platform.start(job_id, b"\r10% of it all" * 100_000)
    assert (await logs(client, job_id, tail=2)).text == "10% of it all\r10% of it all"
    assert taken == [64 * 1024]


async def test_last_lines_over_the_limit_are_cut_with_a_note(
    client: httpx.AsyncClient, platform: Platform, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raylift.services.jobs.logs.TAIL_LINES_BYTES", 128 * 1024)
    platform.start(job_id, "ä".encode() * 200_000 + b"x\nlast")
    note, first, last = (await logs(client, job_id, tail=2)).text.split("\n")
    assert note.startswith(f"[raylift] {400_006 - 128 * 1024} bytes before this are left out")
    assert (first, last) == ("ä" * (64 * 1024 - 3) + "x", "last")
    assert (await logs(client, job_id, tail=1)).text == "last"


async def test_log_of_an_attempt_is_read(client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
    job = platform.start(job_id, b"one\n")
    platform.move(job, JobState.QUEUED, attempt=2, submission_id=None)
    assert (await logs(client, job_id)).text == "one\n"
    platform.start(job_id, b"two\n")
    assert (await logs(client, job_id)).text == "two\n"
    assert (await logs(client, job_id, attempt=1)).text == "one\n"
    assert (await logs(client, job_id, attempt=3)).status_code == 404


class TestFollowing:
    async def test_finished_log_is_streamed_to_its_end(
        self, client: httpx.AsyncClient, platform: Platform, job_id: str
    ) -> None:
        platform.start(job_id, b"one\r\ntwo\n\n10%\r20%\nlast")
        platform.finish(job_id)
        answer = await logs(client, job_id, follow=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text == (
            "id: 18\ndata: one\ndata: two\ndata: \ndata: 10%\ndata: 20%\n\n"
            "id: 22\ndata: last\n\n"
            'id: 22\nevent: end\ndata: {"status":"completed"}\n\n'
        ) or answer.text == (
            "id: 22\ndata: one\ndata: two\ndata: \ndata: 10%\ndata: 20%\ndata: last\n\n"
            'id: 22\nevent: end\ndata: {"status":"completed"}\n\n'
        )

    async def test_stream_resumes_at_the_last_event(self, client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
        platform.start(job_id, b"one\ntwo\n")
        platform.finish(job_id)
        answer = await logs(client, job_id, {"Last-Event-ID": "4"}, follow=True)
        assert answer.text.startswith("id: 8\ndata: two\n\nid: 8\nevent: end\n")

    @pytest.mark.parametrize("last", ["-1", "x", "1.5", "²", "0:1", ":1", "2:", "1:2:3", "9" * 5000])
    async def test_malformed_position_is_refused(self, client: httpx.AsyncClient, job_id: str, last: str) -> None:
        assert (await logs(client, job_id, {"Last-Event-ID": last.encode()}, follow=True)).status_code == 422  # pyright: ignore[reportArgumentType]

    async def test_only_whole_lines_are_streamed(self, platform: Platform, job_id: str, client: httpx.AsyncClient) -> None:
        events = follow(platform, job_id)
        platform.start(job_id, b"one\ntw")
        assert await anext(events) == Lines("one\n", 4)
        platform.print(job_id, b"o\nend")
        assert await anext(events) == Lines("two\n", 8)
        platform.finish(job_id, JobState.FAILED)
        assert [event async for event in events] == [Lines("end", 11), Ended(platform.store.jobs.get(job_id).status, 11)]

    async def test_next_attempt_restarts_the_stream(self, platform: Platform, job_id: str, client: httpx.AsyncClient) -> None:
        events = follow(platform, job_id)
        job = platform.start(job_id, b"one\n")
        assert await anext(events) == Lines("one\n", 4)
        platform.move(job, JobState.QUEUED, attempt=2, submission_id=None)
        platform.start(job_id, b"two\n")
        assert [await anext(events), await anext(events)] == [AttemptStarted(2), Lines("two\n", 4, 2)]

    async def test_end_of_an_attempt_precedes_the_next_attempt(
        self, platform: Platform, job_id: str, client: httpx.AsyncClient
    ) -> None:
        events = follow(platform, job_id)
        job = platform.start(job_id, b"one\n")
        assert await anext(events) == Lines("one\n", 4)
        platform.print(job_id, b"more\nunfinished")
        retried(platform, job, b"two\n")
        platform.finish(job_id)
        assert [event async for event in events] == [
            Lines("more\n", 9),
            Lines("unfinished", 19),
            AttemptStarted(2),
            Lines("two\n", 4, 2),
            Ended(platform.store.jobs.get(job_id).status, 4, 2),
        ]

    @pytest.mark.parametrize("last", ["10", "1:10"])
    async def test_client_away_during_a_retry_misses_nothing(
        self, client: httpx.AsyncClient, platform: Platform, job_id: str, last: str
    ) -> None:
        retried(platform, platform.start(job_id, b"the first\n"), b"two, and much longer\n")
        platform.finish(job_id)
        answer = await logs(client, job_id, {"Last-Event-ID": last}, follow=True)
        assert answer.text == (
            'id: 2:0\nevent: attempt\ndata: {"attempt":2}\n\n'
            "id: 2:21\ndata: two, and much longer\n\n"
            'id: 2:21\nevent: end\ndata: {"status":"completed"}\n\n'
        )

    async def test_stream_resumes_in_the_attempt_of_the_last_event(
        self, client: httpx.AsyncClient, platform: Platform, job_id: str
    ) -> None:
        retried(platform, platform.start(job_id, b"one\n"), b"two\nthree\n")
        platform.finish(job_id)
        answer = await logs(client, job_id, {"Last-Event-ID": "2:4"}, follow=True)
        assert answer.text.startswith("id: 2:10\ndata: three\n\nid: 2:10\nevent: end\n")

    async def test_position_in_an_unknown_attempt_is_refused(
        self, client: httpx.AsyncClient, platform: Platform, job_id: str
    ) -> None:
        platform.start(job_id, b"one\n")
        platform.finish(job_id)
        answer = await logs(client, job_id, {"Last-Event-ID": "7:2"}, follow=True)
        assert answer.text.startswith('id: 0\nevent: attempt\ndata: {"attempt":1}\n\nid: 4\ndata: one\n\n')

    async def test_stream_can_start_at_an_attempt(self, client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
        retried(platform, platform.start(job_id, b"one\n"), b"two\n")
        platform.finish(job_id)
        from_first = (await logs(client, job_id, follow=True, attempt=1)).text
        assert from_first.startswith("id: 4\ndata: one\n\nid: 2:0\nevent: attempt\n")
        assert (await logs(client, job_id, follow=True)).text.startswith("id: 2:4\ndata: two\n\n")
        resumed = await logs(client, job_id, {"Last-Event-ID": "2:0"}, follow=True, attempt=1)
        assert resumed.text.startswith("id: 2:4\ndata: two\n\n")

    @pytest.mark.parametrize("final", [False, True])
    async def test_endless_line_is_cut_between_characters(
        self, platform: Platform, job_id: str, client: httpx.AsyncClient, final: bool
    ) -> None:
        platform.start(job_id, ("€" * 30_000).encode())
        if final:
            platform.finish(job_id)
        # 64 KiB are 21,845 characters and one byte.
        assert await anext(follow(platform, job_id)) == Lines("€" * 21_845, 64 * 1024 - 1)

    async def test_truncated_log_is_followed_on(self, platform: Platform, job_id: str, client: httpx.AsyncClient) -> None:
        events = follow(platform, job_id)
        job = platform.start(job_id, b"x\n" * 100)
        assert await anext(events) == Lines("x\n" * 100, 200)
        path = platform.settings.attempts_dir / str(job.submission_id) / "output.log"
        path.write_bytes(b"short\n")
        platform.finish(job_id)
        assert [event async for event in events] == [Ended(platform.store.jobs.get(job_id).status, 6)]

    async def test_next_attempt_is_an_event_at_position_zero(self) -> None:
        async def events() -> AsyncIterator[LogEvent]:
            yield AttemptStarted(2)

        assert [event async for event in _encoded(events(), _lines)] == [b'id: 2:0\nevent: attempt\ndata: {"attempt":2}\n\n']


def retried(platform: Platform, job: Job, output: bytes) -> None:
    """A job whose first attempt has ended, and whose second has printed ``output``."""
    platform.move(job, JobState.QUEUED, attempt=2, submission_id=None)
    platform.start(job.job_id, output)


def follow(platform: Platform, job_id: str) -> AsyncIterator[LogEvent]:
    return LogFollower(platform.store, platform.services.logs, poll_seconds=0.01).follow(job_id)


async def test_followers_do_not_delay_each_other(client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
    platform.start(job_id, b"one\n")
    following = [asyncio.create_task(logs(client, job_id, follow=True)) for _ in range(50)]
    await asyncio.sleep(0)
    assert (await client.get("/healthz")).status_code == 200
    platform.finish(job_id)
    assert all("event: end" in answer.text for answer in await asyncio.gather(*following))


async def test_all_followers_of_a_job_share_one_store_query(
    platform: Platform, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.start(job_id, b"one\n")
    platform.finish(job_id)
    asked: list[str] = []
    get = platform.store.jobs.get
    monkeypatch.setattr(platform.store.jobs, "get", lambda job_id: asked.append(job_id) or get(job_id))
    follower = LogFollower(platform.store, platform.services.logs, poll_seconds=60)

    async def told() -> list[LogEvent]:
        return [event async for event in follower.follow(job_id)]

    everything = await asyncio.gather(*(told() for _ in range(20)))
    assert everything == [[Lines("one\n", 4), Ended(JobStatus.COMPLETED, 4)]] * 20
    assert asked == [job_id]


async def test_output_is_streamed_while_the_store_is_down(
    platform: Platform, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.start(job_id, b"one\n")
    get, away = platform.store.jobs.get, False

    def ask(job_id: str) -> Job:
        if away:
            raise EngineUnavailable("the database restarts")
        return get(job_id)

    monkeypatch.setattr(platform.store.jobs, "get", ask)
    events = follow(platform, job_id)
    assert await anext(events) == Lines("one\n", 4)
    platform.print(job_id, b"two\n")
    away = True
    assert await anext(events) == Lines("two\n", 8)
    away = False
    platform.finish(job_id)
    assert await anext(events) == Ended(JobStatus.COMPLETED, 8)


async def test_log_that_grows_is_read_again_after_a_pause(
    platform: Platform, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.start(job_id, b"one\n")
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        platform.print(job_id, b"two\nthree\n")

    monkeypatch.setattr(asyncio, "sleep", pause)
    events = follow(platform, job_id)
    assert await anext(events) == Lines("one\n", 4)
    assert await anext(events) == Lines("two\nthree\n", 14)
    assert pauses == [0.025]


async def test_removed_log_says_so(client: httpx.AsyncClient, platform: Platform, job_id: str) -> None:
    platform.start(job_id, b"hello\n")
    platform.finish(job_id)
    shutil.rmtree(platform.settings.attempts_dir)
    for path in ("logs", "logs?tail=3", "logs?follow=true", "logs?attempt=1"):
        answer = await client.get(f"/mlops/training/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "log_removed")
        assert "retention.logs_days" in answer.json()["detail"]
    view = (await client.get(f"/mlops/training/jobs/{job_id}")).json()
    assert view["status"] == "completed"
    assert "was removed" in view["logs"]

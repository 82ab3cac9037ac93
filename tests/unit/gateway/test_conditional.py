"""ETags of lists and resources: a poll of what has not changed is a 304 without a body."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.access import Principal, Role
from raylift.domain.errors import Unauthenticated
from serve_apps.gateway.http import tag_memory
from serve_apps.gateway.http.tag_memory import TagMemory
from serve_apps.gateway.http.visit import Visit, enter, local_visit
from tests.unit.gateway.conftest import Platform

UPLOAD = {"script_content": "print(1)", "experiment_name": "churn"}


async def test_unchanged_list_is_not_sent_again(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/training/upload", json=UPLOAD)
    first = await client.get("/mlops/training/jobs")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/mlops/training/jobs", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


async def test_changed_list_is_sent(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/mlops/training/jobs")).headers["etag"]
    await client.post("/mlops/training/upload", json=UPLOAD)
    answer = await client.get("/mlops/training/jobs", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert len(answer.json()["jobs"]) == 1


async def test_one_of_several_tags_is_enough(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/mlops/models")).headers["etag"]
    answer = await client.get("/mlops/models", headers={"If-None-Match": f'W/"other", {tag}'})
    assert answer.status_code == 304


async def test_tag_of_traffic_has_its_revision_and_its_content(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/mlops/models/churn/traffic"
    platform.registry.register("churn", "1")
    platform.deploy("churn", "1")
    seen = (await client.get(path)).headers["etag"]
    assert seen.startswith('"0-')
    # Another version answers now, and the table has the same revision.
    monkeypatch.setattr(tag_memory, "_SECONDS", -1.0)
    platform.registry.register("churn", "2")
    platform.deploy("churn", "2")
    other = await client.get(path, headers={"If-None-Match": seen})
    assert other.status_code == 200
    assert other.headers["etag"].startswith('"0-')
    monkeypatch.undo()
    poll = {"If-None-Match": other.headers["etag"]}
    assert (await client.get(path, headers=poll)).status_code == 304
    monkeypatch.setattr(platform.services.traffic, "get", lambda _: pytest.fail("it was computed again"))
    assert (await client.get(path, headers=poll)).status_code == 304


async def test_errors_and_texts_have_no_tag(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    assert "etag" not in (await client.get("/mlops/training/jobs/job_missing")).headers
    assert "etag" not in (await client.get(f"/mlops/training/jobs/{job_id}/script")).headers


async def test_poll_after_a_moment_is_not_computed_again(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = (await client.get("/mlops/models")).headers["etag"]
    poll = {"If-None-Match": tag}
    assert (await client.get("/mlops/models", headers=poll)).status_code == 304
    monkeypatch.setattr(platform.registry, "models", lambda: pytest.fail("it was computed again"))
    assert (await client.get("/mlops/models", headers=poll)).status_code == 304


async def test_remembered_tag_ends_with_a_write_and_with_time(platform: Platform) -> None:
    seconds = 0.0
    memory = TagMemory(platform.store.changes, monotonic=lambda: seconds)
    scope: dict[str, Any] = {"path": "/mlops/training/jobs", "query_string": b""}
    enter(scope, local_visit())
    mark = await memory.mark()
    memory.remember(scope, mark, "tag")
    assert memory.tag(scope, await memory.mark()) == "tag"
    seconds = 1.1
    assert memory.tag(scope, mark) is None
    scope["raylift.lasting_answer"] = True
    memory.remember(scope, mark, "tag")
    seconds = 11.0
    assert memory.tag(scope, mark) == "tag"
    platform.store.reservations.put(platform.lease, None)
    assert memory.tag(scope, await memory.mark()) is None
    assert memory.tag(scope, None) is None


async def test_remembered_tag_is_of_one_caller_and_one_query(platform: Platform) -> None:
    memory = TagMemory(platform.store.changes)
    scope: dict[str, Any] = {"path": "/mlops/training/jobs", "query_string": b"limit=5"}
    enter(scope, Visit(Principal("ann", Role.SUBMITTER, "team-a")))
    mark = await memory.mark()
    memory.remember(scope, mark, "tag")
    for caller in (
        Principal("ann", Role.SUBMITTER, "team-b"),
        Principal("ben", Role.SUBMITTER, "team-a"),
        Principal("ann", Role.VIEWER, "team-a"),
        Unauthenticated("There is no key."),
    ):
        enter(scope, Visit(caller))
        assert memory.tag(scope, mark) is None
    enter(scope, Visit(Principal("ann", Role.SUBMITTER, "team-a")))
    assert memory.tag({**scope, "query_string": b"limit=6"}, mark) is None
    assert memory.tag(scope, mark) == "tag"


@pytest.mark.parametrize("path", ["/mlops/training/jobs", "/mlops/training/jobs/{job}", "/mlops/training/jobs/{job}/events"])
async def test_answers_of_ended_jobs_are_remembered_longer(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(tag_memory, "_SECONDS", -1.0)
    job_id = (await client.post("/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    platform.start(job_id)
    computed: list[str] = []
    for name in ("page", "details", "events"):
        real = getattr(platform.services.training, name)
        monkeypatch.setattr(
            platform.services.training, name, lambda *args, real=real, **named: (computed.append(path), real(*args, **named))[1]
        )

    async def computations_of_second_poll() -> int:
        tag = (await client.get(path.format(job=job_id))).headers["etag"]
        tag = (await client.get(path.format(job=job_id), headers={"If-None-Match": tag})).headers["etag"]
        before = len(computed)
        assert (await client.get(path.format(job=job_id), headers={"If-None-Match": tag})).status_code in {200, 304}
        return len(computed) - before

    if not path.endswith("events"):  # A job's history depends on the store alone, whether it has ended or not.
        assert await computations_of_second_poll() == 1
    platform.finish(job_id)
    assert await computations_of_second_poll() == 0

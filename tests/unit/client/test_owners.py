"""The SDK's owner, and its error for a full quota."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from raylift import Client, Unavailable

UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"


@pytest.fixture
def owner_sent(platform: Any, accepted: dict[str, Any]) -> Callable[..., str | None]:
    """The owner that an upload of such a client names."""

    def sent(**options: Any) -> str | None:
        platform.on("POST", UPLOAD, httpx.Response(202, json=accepted))
        with Client("http://platform.test", transport=httpx.MockTransport(platform), **options) as client:
            client.train(script_content="pass", experiment="e")
        return platform.requests[-1].headers.get("X-Raylift-Owner")

    return sent


def test_owner_argument_overrides_the_environment(owner_sent: Callable[..., str | None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAYLIFT_OWNER", raising=False)
    assert owner_sent() is None
    assert owner_sent(owner="ann") == "ann"
    monkeypatch.setenv("RAYLIFT_OWNER", "blue-team")
    assert owner_sent() == "blue-team"
    assert owner_sent(owner="ann") == "ann"


@pytest.mark.parametrize("name", ["Ann Smith", "jürgen", "-ann", "a" * 65, "ann\n"])
def test_malformed_owner_is_refused_before_any_request(name: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match=r"is no owner.s name .*write 1 to 64 letters"):
        Client(owner=name)
    monkeypatch.setenv("RAYLIFT_OWNER", name)
    with pytest.raises(ValueError, match="RAYLIFT_OWNER"):
        Client()


def test_list_filters_by_owner(client: Client, platform: Any, make_job: Callable[..., Any]):
    platform.on("GET", JOBS, httpx.Response(200, json={"jobs": [make_job(owner="ann")], "next_cursor": None}))
    assert [job.summary.owner for job in client.jobs.list(owner="ann")] == ["ann"]
    assert platform.requests[-1].url.params["owner"] == "ann"


def test_full_quota_is_not_retried(client: Client, platform: Any, make_problem: Callable[..., Any], clock: Any):
    detail = "2 jobs of 'ann' wait already. Wait until some have started, cancel some, or have the quota raised."
    full = make_problem(429, "quota_exceeded", detail, {"Retry-After": "10"}, owner="ann", max_queued_jobs=2)
    platform.on("POST", UPLOAD, full)
    with pytest.raises(Unavailable) as caught:
        client.train(script_content="pass", experiment="e")
    error = caught.value
    assert (error.code, error.retry_after, error.problem["max_queued_jobs"]) == ("quota_exceeded", 10, 2)
    assert detail in str(error)
    assert (len(platform.requests), clock.slept) == (1, [])

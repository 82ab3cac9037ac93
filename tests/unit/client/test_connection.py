from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from raylift import (
    APIError,
    Client,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    NotFound,
    ServerError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

Problem = Callable[..., httpx.Response]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (422, InvalidRequest),
        (429, Unavailable),
        (500, ServerError),
        (502, ServerError),
        (503, Unavailable),
    ],
)
def test_each_status_has_its_exception(client: Client, platform: Any, make_problem: Problem, status: int, kind: type[APIError]):
    platform.on("POST", "/x", make_problem(status, "a_code", "a sentence", versions=["1", "2"]))
    with pytest.raises(kind) as caught:
        client.request("POST", "/x")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail) == (status, "a_code", "a sentence")
    assert (error.method, error.url) == ("POST", "http://platform.test/x")
    assert error.problem["versions"] == ["1", "2"]
    assert f"a sentence ({status} a_code)" in str(error)


def test_field_errors_have_line_and_column(client: Client, platform: Any, make_problem: Problem):
    errors = [
        {"field": "script_content", "detail": "invalid syntax", "line": 2, "column": 12},
        {"field": "priority", "detail": "no"},
    ]
    platform.on("POST", "/x", make_problem(422, "invalid_request", "No.", errors=errors))
    with pytest.raises(InvalidRequest) as caught:
        client.request("POST", "/x")
    assert [(e.field, e.line, e.column) for e in caught.value.errors] == [("script_content", 2, 12), ("priority", None, None)]
    assert "script_content, line 2, column 12: invalid syntax\n  priority: no" in str(caught.value)


def test_errors_of_other_forms_are_read(client: Client, platform: Any):
    platform.on("GET", "/html", httpx.Response(500, text="<h1>Oh\n  no</h1>"))
    platform.on("GET", "/v2", httpx.Response(404, json={"error": "Model x not found"}))
    platform.on("GET", "/list", httpx.Response(400, json=[1]))
    platform.on("GET", "/moved", httpx.Response(308, headers={"Location": "https://elsewhere/"}))
    platform.on("GET", "/odd", httpx.Response(422, json={"detail": "d", "errors": ["what", {"field": "f", "detail": "g"}]}))
    for path, status, words in [
        ("/html", 500, "<h1>Oh no</h1>"),
        ("/v2", 404, "Model x not found"),
        ("/list", 400, "[1]"),
        ("/moved", 308, "https://elsewhere/"),
        ("/odd", 422, "d"),
    ]:
        with pytest.raises(APIError) as caught:
            client.request("GET", path)
        assert caught.value.status == status
        assert words in caught.value.detail


def test_answer_that_is_not_json_is_an_api_error(client: Client, platform: Any):
    platform.on("GET", "/x", httpx.Response(200, text="<html>please log in"))
    with pytest.raises(APIError, match="is not JSON: '<html>please log in'") as caught:
        client.request("GET", "/x")
    assert caught.value.code == "unexpected_answer"


def test_unexpected_answer_names_the_wrong_field(client: Client, platform: Any):
    platform.on("GET", "/mlops/models", httpx.Response(200, json={"models": [{"model_name": "m"}]}))
    with pytest.raises(APIError, match=r"not a ModelList: models\.0\.latest_version"):
        client.models.list()


def test_fields_of_a_newer_platform_are_ignored(client: Client, platform: Any, make_job: Callable[..., Any]):
    platform.on("GET", "/mlops/training/jobs/job_1", httpx.Response(200, json=make_job(brand_new={"a": 1})))
    assert client.jobs.get("job_1").status == "running"


def test_get_is_retried_until_it_arrives(client: Client, platform: Any, clock: Any):
    refused = httpx.ConnectError("refused")
    broken = httpx.RemoteProtocolError("closed")
    platform.on("GET", "/x", refused, broken, httpx.Response(502), httpx.Response(200, json={"ok": True}))
    assert client.request("GET", "/x") == {"ok": True}
    assert clock.slept == [0.25, 0.5, 1.0]


def test_get_fails_after_four_attempts(client: Client, platform: Any):
    platform.on("GET", "/x", httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(ConnectionFailed, match=r"Nothing answers at http://platform.test: .*refused") as caught:
        client.request("GET", "/x")
    assert len(platform.requests) == 4
    assert (caught.value.method, caught.value.timed_out) == ("GET", False)


def test_post_is_retried_only_if_it_was_not_sent(client: Client, platform: Any):
    platform.on("POST", "/x", httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.Response(200, json={}))
    with pytest.raises(ConnectionFailed, match="broke during POST /x"):
        client.request("POST", "/x")
    assert len(platform.requests) == 2


def test_timeout_is_not_retried(client: Client, platform: Any):
    platform.on("GET", "/x", httpx.ReadTimeout("slow"))
    with pytest.raises(ConnectionFailed, match="did not answer GET /x in time") as caught:
        client.request("GET", "/x")
    assert caught.value.timed_out
    assert len(platform.requests) == 1


def test_client_errors_are_not_retried(client: Client, platform: Any, make_problem: Problem):
    platform.on("GET", "/x", make_problem(404, "job_not_found", "no"))
    with pytest.raises(NotFound):
        client.request("GET", "/x")
    assert len(platform.requests) == 1


def test_url_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, platform: Any):
    monkeypatch.setenv("RAYLIFT_URL", "http://from-env:81/")
    monkeypatch.setenv("RAYLIFT_API_KEY", "secret")
    platform.on("GET", "/x", httpx.Response(204))
    with Client(transport=httpx.MockTransport(platform)) as client:
        assert client.request("GET", "/x") is None
    sent = platform.requests[0]
    assert (str(sent.url), sent.headers["Authorization"]) == ("http://from-env:81/x", "Bearer secret")
    with Client("https://given", "other", transport=httpx.MockTransport(platform)) as client:
        assert client.base_url == "https://given"
        client.request("GET", "/x")
    assert platform.requests[1].headers["Authorization"] == "Bearer other"


def test_default_url_is_this_machine(monkeypatch: pytest.MonkeyPatch, platform: Any):
    monkeypatch.delenv("RAYLIFT_URL", raising=False)
    monkeypatch.delenv("RAYLIFT_API_KEY", raising=False)
    platform.on("GET", "/x", httpx.Response(204))
    with Client(transport=httpx.MockTransport(platform)) as client:
        client.request("GET", "/x")
    assert str(platform.requests[0].url) == "http://127.0.0.1:8000/x"
    assert "Authorization" not in platform.requests[0].headers


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://"])
def test_malformed_url_is_refused(url: str):
    with pytest.raises(ValueError, match="write http://HOST:PORT"):
        Client(url)


def test_path_prefix_of_the_url_is_kept(platform: Any):
    platform.on("GET", "/ml/raylift/mlops/models", httpx.Response(200, json={"models": []}))
    with Client("https://host/ml/raylift/", transport=httpx.MockTransport(platform)) as client:
        assert client.models.list() == []


def test_names_are_quoted_in_paths(client: Client, platform: Any):
    with pytest.raises(NotFound):
        client.models.get("a/b c")
    assert platform.requests[0].url.raw_path == b"/mlops/models/a%2Fb%20c"

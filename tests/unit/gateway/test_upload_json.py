from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

UPLOAD = "/mlops/training/upload"


def fields(**more: Any) -> dict[str, Any]:
    return {"script_content": "print('hi')\n", "experiment_name": "tests"} | more


def refused(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    """The errors of a 422 answer by field."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error for error in answer.json()["errors"]}


async def test_upload_is_stored_and_acknowledged(client: httpx.AsyncClient) -> None:
    answer = await client.post(UPLOAD, json=fields(model_name="churn", requirements=["scikit-learn"]))
    assert answer.status_code == 202
    body = answer.json()
    assert body["status"] == "queued"
    assert answer.headers["location"] == f"/mlops/training/jobs/{body['job_id']}" == body["links"]["self"]
    assert {"logs", "cancel"} <= set(body["links"])
    job = (await client.get(answer.headers["location"])).json()
    assert (job["status"], job["model_name"], job["requirements"], job["queue_position"]) == (
        "queued",
        "churn",
        ["scikit-learn"],
        1,
    )


async def test_base64_is_decoded(client: httpx.AsyncClient) -> None:
    source = "x = 'ä'\n".encode()
    answer = await client.post(
        UPLOAD, json=fields(script_content=base64.encodebytes(source).decode(), script_encoding="base64")
    )
    script = await client.get(answer.json()["links"]["script"])
    assert script.content == source
    assert script.headers["content-type"] == "text/x-python; charset=utf-8"


@pytest.mark.parametrize(
    ("change", "field", "detail"),
    [
        ({"script_content": "x = 1\ndef broken(:\n"}, "script_content", "does not compile"),
        ({"script_content": "@@not base64@@", "script_encoding": "base64"}, "script_content", "is not base64"),
        (
            {"script_content": base64.b64encode(b"x = '\xff'").decode(), "script_encoding": "base64"},
            "script_content",
            "is not UTF-8",
        ),
        ({"script_content": "x = 1\0"}, "script_content", "null byte"),
        ({"script_content": " \n"}, "script_content", "is empty"),
        ({"script_content": "# coding: latin-1\nx = 'ő'\n"}, "script_content", "which has no 'ő'"),
        ({"script_content": "# coding: rot13\nx = 1\n"}, "script_content", "no encoding of text"),
        (
            {"script_content": base64.b64encode(b"# coding: ascii\nx = '\xff'").decode(), "script_encoding": "base64"},
            "script_content",
            "is not ascii, which it declares",
        ),
        ({"script_content": "# coding: no-such\nx = 1\n"}, "script_content", "declares an encoding"),
        ({"script_content": "(" * 500 + ")" * 500}, "script_content", "does not compile"),
        ({"script_content": "-" * 200_000 + "1"}, "script_content", "nested too deeply"),
        ({"script_name": "../x.py"}, "script_name", "must be a bare file name ending in .py"),
        ({"script_name": "x.txt"}, "script_name", "must be a bare file name ending in .py"),
        ({"script_name": "x.py\n"}, "script_name", "must be a bare file name ending in .py"),
        ({"script_name": "ä" * 200 + ".py"}, "script_name", "255 bytes"),
        ({"timeout_seconds": 59}, "timeout_seconds", "60 to 3600"),
        ({"timeout_seconds": 3601}, "timeout_seconds", "60 to 3600"),
        ({"timeout_seconds": "600"}, "timeout_seconds", "valid integer"),
        ({"autolog": 1}, "autolog", "valid boolean"),
        ({"requirements": ["numpy", "not a requirement!!"]}, "requirements[1]", "is not a requirement"),
        ({"requirements": ["-r other.txt"]}, "requirements[0]", "includes a file"),
        ({"requirements": ["numpy\n--index-url http://evil"]}, "requirements[0]", "one requirement a line"),
        ({"requirements": ["x @ file:///etc/passwd"]}, "requirements[0]", "names a file"),
        ({"requirements": "numpy"}, "requirements", "valid"),
        ({"environment": {"RAY_ADDRESS": "x"}}, "environment.RAY_ADDRESS", "set by the platform"),
        ({"environment": {"RAYLIFT_INSTANCE": "x"}}, "environment.RAYLIFT_INSTANCE", "set by the platform"),
        ({"environment": {"MLFLOW_RUN_ID": "x"}}, "environment.MLFLOW_RUN_ID", "set by the platform"),
        ({"environment": {"1X": "x"}}, "environment.1X", "not a variable's name"),
        ({"environment": {"X": "a\0b"}}, "environment.X", "null byte"),
        ({"environment": {"X": 1}}, "environment.X", "valid string"),
        ({"environment": {"X": "a" * 200_000}}, "environment.X", "longer than"),
        ({"args": ["a\0b"]}, "args[0]", "null byte"),
        ({"resources": {"cpus": 100000}}, "resources.cpus", "no node of the cluster"),
        ({"resources": {"cpus": 4.5}}, "resources.cpus", "the largest has 4 CPUs"),
        ({"resources": {"cpus": 0.05}}, "resources.cpus", "greater than or equal"),
        ({"resources": {"memory": "9GiB"}}, "resources.memory", "no node of the cluster"),
        ({"resources": {"memory": 16 * 2**20 - 1}}, "resources.memory", "it must be at least 16 MiB"),
        ({"resources": {"memory": "\uff18GiB"}}, "resources.memory", "is not an amount of memory"),
        ({"resources": {"memory": "much"}}, "resources.memory", "is not an amount of memory"),
        ({"resources": {"memory": "9" * 400}}, "resources.memory", "more than 1024 TiB"),
        ({"resources": {"memory": 10**400}}, "resources.memory", "more than 1024 TiB"),
        ({"resources": {"memory": None}}, "resources.memory", "valid"),
        ({"resources": {"gpus": 1}}, "resources.gpus", "0 GPUs"),
        ({"resources": {"cores": 1}}, "resources.cores", "is not a field"),
        ({"tags": {"a/../b": "x"}}, "tags.a/../b", "not a tag's name"),
        ({"tags": {"raylift.job_id": "x"}}, "tags.raylift.job_id", "begins with"),
        ({"tags": {"a": "x" * 6000}}, "tags.a", "longer than"),
        ({"model_name": "a/b"}, "model_name", "cannot be a model's name"),
        ({"experiment_name": " "}, "experiment_name", "is blank"),
        ({"experimnt": "x"}, "experimnt", "did you mean experiment_name?"),
        ({"priority": 101}, "priority", "less than or equal"),
        ({"max_retries": -1}, "max_retries", "greater than or equal"),
    ],
)
async def test_wrong_fields_are_named(client: httpx.AsyncClient, change: dict[str, Any], field: str, detail: str) -> None:
    errors = refused(await client.post(UPLOAD, json=fields(**change)))
    assert list(errors) == [field]
    assert detail in errors[field]["detail"]
    assert (await client.get("/mlops/training/jobs")).json()["jobs"] == []


async def test_syntax_error_has_line_and_column(client: httpx.AsyncClient) -> None:
    error = refused(await client.post(UPLOAD, json=fields(script_content="x = 1\ndef broken(:\n")))["script_content"]
    assert (error["line"], error["column"]) == (2, 12)


async def test_all_errors_are_reported_at_once(client: httpx.AsyncClient) -> None:
    wrong = {"script_content": "def broken(:", "timeout_seconds": "soon", "environment": {"PATH": "/x", "A": 1}, "unknown": 1}
    errors = refused(await client.post(UPLOAD, json=wrong))
    assert set(errors) == {"experiment_name", "timeout_seconds", "environment.A", "unknown"}


async def test_all_fields_with_wrong_content_are_named(client: httpx.AsyncClient) -> None:
    wrong = {"script_content": "def broken(:", "requirements": ["!!", "ok", "??"], "environment": {"PATH": "/x"}}
    answer = await client.post(UPLOAD, json=fields(**wrong))
    assert set(refused(answer)) == {"script_content", "requirements[0]", "requirements[2]", "environment.PATH"}
    assert ", and 3 more" in answer.json()["detail"]


async def test_errors_do_not_echo_values(client: httpx.AsyncClient) -> None:
    answer = await client.post(UPLOAD, json=fields(environment={"TOKEN": ["hunter2"]}))
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "script",
    [
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nx = 'ä'\n",
        "\ufeffx = 1\n",
        "# coding: latin-1\nx = 1\n",
        "x = '\\d'\nassert (1, 'always')\n",
        "x: int = 1\r\ny = 2\r\n",
        "import this_module_does_not_exist\nraise SystemExit(3)\n",
        "async def f():\n    await f()\n",
    ],
)
async def test_valid_scripts_are_stored_unchanged(client: httpx.AsyncClient, script: str) -> None:
    answer = await client.post(UPLOAD, json=fields(script_content=script))
    assert answer.status_code == 202, answer.text
    assert (await client.get(answer.json()["links"]["script"])).content == script.encode()


async def test_script_keeps_its_declared_encoding(client: httpx.AsyncClient) -> None:
    source = "# coding: latin-1\nx = 'ä'\n"
    carried = base64.b64encode(source.encode("latin-1")).decode()
    for body in ({"script_content": source}, {"script_content": carried, "script_encoding": "base64"}):
        answer = await client.post(UPLOAD, json=fields(**body))
        assert answer.status_code == 202, answer.text
        script = await client.get(answer.json()["links"]["script"])
        assert script.content == source.encode("latin-1")
        assert script.text == source


async def test_future_imports_of_the_gateway_do_not_apply_to_scripts(client: httpx.AsyncClient) -> None:
    # Annotations of this module are strings, those of a script are evaluated. compile() would inherit that flag.
    answer = await client.post(UPLOAD, json=fields(script_content="x: (yield) = 1\n"))
    assert answer.status_code == 422


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5 * 1024 * 1024])
async def test_script_over_the_limit_is_413(client: httpx.AsyncClient, size: int) -> None:
    answer = await client.post(UPLOAD, json=fields(script_content="#" * size))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_script_at_the_limit_is_accepted(client: httpx.AsyncClient) -> None:
    assert (await client.post(UPLOAD, json=fields(script_content="#" * 1024 * 1024))).status_code == 202


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_body"),
        (b"", "application/json", 400, "malformed_body"),
        (b'{"script_content": "\\ud800"}', "application/json", 400, "malformed_body"),
        (b'{"a": \xff}', "application/json", 400, "malformed_body"),
        (b"[" * 100_000, "application/json", 400, "malformed_body"),
        (b'{"priority": NaN}', "application/json", 400, "malformed_body"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"null", "application/json; charset=utf-8", 422, "invalid_request"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"x", "", 415, "unsupported_media_type"),
    ],
)
async def test_malformed_bodies_are_refused(
    client: httpx.AsyncClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await client.post(UPLOAD, content=content, headers={"content-type": kind} if kind else {})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


class TestIdempotency:
    async def test_repeated_upload_is_the_same_job(self, client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k1"}
        first = await client.post(UPLOAD, json=fields(), headers=key)
        second = await client.post(UPLOAD, json=dict(reversed(fields().items())), headers=key)
        assert first.json() == second.json()
        assert second.status_code == 202
        assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
        assert len((await client.get("/mlops/training/jobs")).json()["jobs"]) == 1

    async def test_another_body_with_the_same_key_is_refused(self, client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k1"}
        await client.post(UPLOAD, json=fields(), headers=key)
        answer = await client.post(UPLOAD, json=fields(priority=51), headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")

    async def test_every_upload_without_a_key_is_a_new_job(self, client: httpx.AsyncClient) -> None:
        first, second = [(await client.post(UPLOAD, json=fields())).json()["job_id"] for _ in range(2)]
        assert first != second

    @pytest.mark.parametrize("key", ["", "x" * 256])
    async def test_malformed_key_is_refused(self, client: httpx.AsyncClient, key: str) -> None:
        assert list(refused(await client.post(UPLOAD, json=fields(), headers={"Idempotency-Key": key}))) == ["Idempotency-Key"]

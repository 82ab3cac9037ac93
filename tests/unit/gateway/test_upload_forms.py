from __future__ import annotations

from typing import Any

import httpx
import pytest

UPLOAD = "/mlops/training/upload"
SCRIPT = b"print('hi')\n"


async def send(client: httpx.AsyncClient, files: list[tuple[str, Any]], **headers: str) -> httpx.Response:
    return await client.post(UPLOAD, files=files, headers=headers)


def text(name: str, value: str) -> tuple[str, Any]:
    return name, (None, value)


def script(name: str = "fit.py", content: bytes = SCRIPT) -> tuple[str, Any]:
    return "script", (name, content)


async def taken(client: httpx.AsyncClient, *parts: tuple[str, Any]) -> dict[str, Any]:
    answer = await send(client, [text("experiment_name", "tests"), *parts])
    assert answer.status_code == 202, answer.text
    return (await client.get(answer.json()["links"]["self"])).json()


async def refused(client: httpx.AsyncClient, *parts: tuple[str, Any]) -> dict[str, str]:
    answer = await send(client, [text("experiment_name", "tests"), *parts])
    assert answer.status_code == 422, answer.text
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


async def test_file_part_is_the_script_and_gives_its_name(client: httpx.AsyncClient) -> None:
    job = await taken(client, script())
    assert job["script_name"] == "fit.py"
    assert (await client.get(job["links"]["script"])).content == SCRIPT


@pytest.mark.parametrize("file_name", ["-", "63", "train.txt"])
async def test_other_file_name_gives_no_script_name(client: httpx.AsyncClient, file_name: str) -> None:
    assert (await taken(client, script(file_name)))["script_name"] == "train.py"


async def test_script_name_field_overrides_the_file_name(client: httpx.AsyncClient) -> None:
    assert (await taken(client, script("a/b.py"), text("script_name", "c.py")))["script_name"] == "c.py"
    assert (await taken(client, script("C:\\x\\b.py")))["script_name"] == "b.py"


async def test_all_fields_are_read(client: httpx.AsyncClient) -> None:
    job = await taken(
        client,
        script(),
        text("model_name", ""),
        text("timeout_seconds", "61"),
        text("autolog", "false"),
        text("priority", "7"),
        text("requirements", "numpy"),
        text("requirements", "pandas>=2"),
        ("requirements_file", ("requirements.txt", b"# comment\nscipy  # why\n\nscikit-learn\n")),
        text("args", "--depth"),
        text("args", "3"),
        text("environment", '{"A": "secret"}'),
        text("tags", '{"team": "x"}'),
        text("resources", '{"cpus": 0.5, "memory": "256MiB"}'),
    )
    assert job["requirements"] == ["numpy", "pandas>=2", "scipy", "scikit-learn"]
    assert job["args"] == ["--depth", "3"]
    assert job["environment"] == {"A": "***"}
    assert job["tags"] == {"team": "x"}
    assert job["resources"] == {"cpus": 0.5, "memory": 256 * 2**20, "gpus": 0.0, "workers": None}
    assert (job["model_name"], job["timeout_seconds"], job["autolog"], job["priority"]) == (None, 61, False, 7)


async def test_lists_may_be_json(client: httpx.AsyncClient) -> None:
    job = await taken(client, script(), text("requirements", '["numpy", "scipy"]'), text("args", '["a", "b c"]'))
    assert (job["requirements"], job["args"]) == (["numpy", "scipy"], ["a", "b c"])


async def test_script_content_may_be_a_field(client: httpx.AsyncClient) -> None:
    job = await taken(client, text("script_content", "cHJpbnQoMSk="), text("script_encoding", "base64"))
    assert (await client.get(job["links"]["script"])).content == b"print(1)"


async def test_script_part_keeps_its_declared_encoding(client: httpx.AsyncClient) -> None:
    source = "# -*- coding: cp1252 -*-\nx = '€'\n".encode("cp1252")
    job = await taken(client, script(content=source))
    assert (await client.get(job["links"]["script"])).content == source


@pytest.mark.parametrize(
    ("parts", "field", "detail"),
    [
        ([script(content=b"\xff")], "script_content", "is not UTF-8"),
        ([script(), text("script_content", "x")], "script_content", "given twice"),
        ([script(), text("priority", "1"), text("priority", "2")], "priority", "given 2 times"),
        ([script(), text("priority", "high")], "priority", "valid integer"),
        ([script(), text("environment", "A=1")], "environment", "is not JSON"),
        ([script(), text("environment", "[1]")], "environment", "should be an object"),
        ([script(), text("args", "[1")], "args", "is not JSON"),
        ([script(), text("args", "[1]")], "args[0]", "valid string"),
        ([script(), text("modelname", "x")], "modelname", "did you mean model_name?"),
        ([script(), text("experiment_name", "y")], "experiment_name", "given 2 times"),
        ([script(content=b"def f(:")], "script_content", "does not compile"),
    ],
)
async def test_wrong_fields_are_named(client: httpx.AsyncClient, parts: list[tuple[str, Any]], field: str, detail: str) -> None:
    errors = await refused(client, *parts)
    assert list(errors) == [field]
    assert detail in errors[field]


async def test_errors_of_parts_and_fields_are_reported_together(client: httpx.AsyncClient) -> None:
    errors = await refused(client, script(content=b"def f(:"), text("tags", "{"), text("requirements", "!!"), text("nope", "1"))
    assert set(errors) == {"tags", "nope"}


async def test_equal_forms_with_other_boundaries_are_the_same_body(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = [await send(client, [text("experiment_name", "t"), script()], **key) for _ in range(2)]
    assert first.request.headers["content-type"] != second.request.headers["content-type"]
    assert first.json()["job_id"] == second.json()["job_id"]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
async def test_broken_form_is_400(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(UPLOAD, content=b"--y\r\nnonsense", headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


async def test_form_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    answer = await send(client, [text("experiment_name", "t"), script(content=b"#" * (12 * 2**20))])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
async def test_requirements_file_of_another_encoding_is_read(client: httpx.AsyncClient, encoding: str) -> None:
    job = await taken(client, script(), ("requirements_file", ("r.txt", "humanize==4.9.0\r\n".encode(encoding))))
    assert job["requirements"] == ["humanize==4.9.0"]


async def test_hashes_are_ignored_with_a_note(client: httpx.AsyncClient) -> None:
    hashed = b"humanize==4.9.0 ; python_version >= '3.11' \\\n    --hash=sha256:58 \\\n    --hash=sha256:ce\n    # via x\n"
    answer = await send(client, [text("experiment_name", "e"), script(), ("requirements_file", ("r.txt", hashed))])
    assert answer.status_code == 202, answer.text
    assert "hashes of requirements are not checked" in answer.json()["notes"][0]
    job = (await client.get(answer.json()["links"]["self"])).json()
    assert [" ".join(line.split()) for line in job["requirements"]] == ["humanize==4.9.0 ; python_version >= '3.11'"]
    plain = await send(client, [text("experiment_name", "e"), script()])
    assert plain.json()["notes"] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"rich\n-e .\n", "in r.txt, line 2: '-e .' installs a project"),
        (b"certifi @ file:///croot/certifi/work\n", "in r.txt, line 1: "),
        (b"rich\n\nnot a requirement\n", "in r.txt, line 3: "),
        ("rich\nhüpf\n".encode("latin-1"), "in r.txt, line 2: is not UTF-8"),
    ],
)
async def test_errors_of_a_requirements_file_name_file_and_line(client: httpx.AsyncClient, content: bytes, words: str) -> None:
    errors = await refused(client, script(), ("requirements_file", ("r.txt", content)))
    assert words in errors["requirements"]

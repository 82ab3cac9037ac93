from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client, ConnectionFailed, InvalidRequest
from raylift.api.training import TrainingUpload
from raylift.client.jobs.script import read_requirements, read_script

UPLOAD = "/mlops/training/upload"


@pytest.fixture(autouse=True)
def taken(platform: Any, accepted: dict[str, Any]) -> None:
    platform.on("POST", UPLOAD, httpx.Response(202, json=accepted))


def uploaded(platform: Any) -> TrainingUpload:
    return TrainingUpload.model_validate(platform.bodies()[-1])


def test_file_is_uploaded_under_its_name(client: Client, platform: Any, tmp_path: Path, accepted: dict[str, Any]):
    script = tmp_path / "my_model.py"
    script.write_text("print('grün')\r\n", encoding="utf-8", newline="")
    job = client.train(
        script,
        model="churn",
        requirements=["scikit-learn"],
        env={"N": 3},  # pyright: ignore[reportArgumentType] # numbers are what people pass
        args=["--depth", "3"],
        cpus=2,
        memory="4GiB",
        timeout=90,
        max_retries=1,
        priority=70,
        autolog=False,
        deploy=False,
        tags={"team": "a"},
    )
    body = uploaded(platform)
    assert (body.script_name, body.script_content, body.script_encoding) == ("my_model.py", "print('grün')\r\n", "plain")
    assert (body.experiment_name, body.model_name) == ("churn", "churn")
    assert (body.resources.cpus, body.resources.memory, body.resources.gpus) == (2, "4GiB", 0)
    assert (body.environment, body.args, body.timeout_seconds) == ({"N": "3"}, ["--depth", "3"], 90)
    assert (body.max_retries, body.priority, body.autolog, body.deploy, body.tags) == (1, 70, False, False, {"team": "a"})
    assert (job.job_id, repr(job), job.acknowledgement) == ("job_1", "<Job job_1>", accepted)


def test_omitted_arguments_have_the_defaults_of_the_api(client: Client, platform: Any):
    client.train(script_content="pass", experiment="e")
    assert uploaded(platform) == TrainingUpload(script_content="pass", experiment_name="e")


def test_experiment_is_named_after_the_model_or_the_script(client: Client, platform: Any, tmp_path: Path):
    (tmp_path / "fit_it.py").write_text("pass")
    client.train(str(tmp_path / "fit_it.py"))
    assert uploaded(platform).experiment_name == "fit_it"
    client.train(script_content="pass", model="m")
    assert uploaded(platform).experiment_name == "m"
    client.train(script_content="pass", model="m", experiment="e")
    assert uploaded(platform).experiment_name == "e"


def test_file_that_is_not_utf_8_is_sent_as_bytes(client: Client, platform: Any, tmp_path: Path):
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    client.train(tmp_path / "latin.py")
    body = uploaded(platform)
    assert (body.script_encoding, base64.b64decode(body.script_content)) == ("base64", b"# caf\xe9\n")


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b"x = '\xc3\xa4'\n", "plain"),
        (b"# coding: utf-8\nx = 1\n", "plain"),
        (b"# coding: latin-1\nx = '\xe4'\n", "base64"),
        (b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\nx = '\xc3\xa4'\n", "base64"),
    ],
)
def test_script_with_a_declared_encoding_is_sent_as_bytes(raw: bytes, encoding: str, tmp_path: Path):
    (tmp_path / "train.py").write_bytes(raw)
    script = read_script(tmp_path / "train.py", None, None)
    assert script.encoding == encoding
    sent = base64.b64decode(script.content) if encoding == "base64" else script.content.encode()
    assert sent == raw


def test_script_and_script_content_together_are_refused(client: Client):
    with pytest.raises(ValueError, match="script_content"):
        client.train("a.py", script_content="pass")
    with pytest.raises(ValueError, match="script_content"):
        client.train()
    with pytest.raises(FileNotFoundError):
        client.train("no-such-file.py")


def test_upload_after_a_broken_connection_makes_one_job(client: Client, platform: Any, accepted: dict[str, Any]):
    answers = (httpx.ReadError("reset"), httpx.Response(503), httpx.Response(202, json=accepted))
    platform.on("POST", UPLOAD, *answers)
    client.train(script_content="pass", model="m")
    client.train(script_content="pass", model="m")
    keys = [request.headers["Idempotency-Key"] for request in platform.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_idempotency_key_can_be_given(client: Client, platform: Any):
    client.train(script_content="pass", model="m", idempotency_key="mine")
    assert platform.requests[0].headers["Idempotency-Key"] == "mine"


def test_unreachable_platform_is_an_error(client: Client, platform: Any):
    platform.on("POST", UPLOAD, httpx.ConnectError("refused"))
    with pytest.raises(ConnectionFailed):
        client.train(script_content="pass", model="m")


def test_refused_script_names_the_line(client: Client, platform: Any, make_problem: Callable[..., httpx.Response]):
    errors = [{"field": "script_content", "detail": "invalid syntax", "line": 2, "column": 12}]
    platform.on("POST", UPLOAD, make_problem(422, "invalid_request", "The script does not compile.", errors=errors))
    with pytest.raises(InvalidRequest, match="line 2, column 12"):
        client.train(script_content="x = 1\ndef broken(:\n", model="m")


def test_requirements_file_is_read_with_its_includes(client: Client, platform: Any, tmp_path: Path):
    (tmp_path / "base.txt").write_text("numpy>=2  # arrays\n\n# nothing\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "\ufeff-r base.txt\nscikit-learn \\\n  >=1.5\nhumanize @ https://example.test/h.zip#sha256=00\n", encoding="utf-8"
    )
    for given in (file, str(file)):
        client.train(script_content="pass", model="m", requirements=given)
        assert uploaded(platform).requirements == [
            "numpy>=2",
            "scikit-learn    >=1.5",
            "humanize @ https://example.test/h.zip#sha256=00",
        ]


@pytest.mark.parametrize(
    "line", ["--index-url https://example.test", "-e .", "-c x.txt", "--pre", "numpy @ file:///croot/numpy/work"]
)
def test_unsupported_requirement_lines_name_file_and_line(tmp_path: Path, line: str):
    (tmp_path / "r.txt").write_text(f"# a comment\n{line}\n")
    with pytest.raises(ValueError, match=r"r\.txt:2: .*(remove the line|write)"):
        read_requirements(tmp_path / "r.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_requirements_file_of_another_encoding_is_read(tmp_path: Path, encoding: str):
    (tmp_path / "r.txt").write_bytes("humanize==4.9.0 --hash=sha256:0\r\nrich\r\n".encode(encoding))
    assert read_requirements(tmp_path / "r.txt") == ["humanize==4.9.0 --hash=sha256:0", "rich"]


def test_undecodable_requirement_names_file_and_line(tmp_path: Path):
    (tmp_path / "r.txt").write_bytes("rich\nhüpf==1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"r\.txt:2: is not UTF-8; save it as UTF-8"):
        read_requirements(tmp_path / "r.txt")


def test_requirements_file_that_includes_itself_is_refused(tmp_path: Path):
    (tmp_path / "r.txt").write_text("-r r.txt")
    with pytest.raises(ValueError, match="includes itself"):
        read_requirements(tmp_path / "r.txt")


def test_single_requirement_instead_of_a_list_is_explained():
    with pytest.raises(ValueError, match=r"pass a list: requirements=\['scikit-learn'\]"):
        read_requirements("scikit-learn")


def test_notebook_is_sent_without_its_outputs(client: Client, platform: Any, tmp_path: Path):
    cell = {"cell_type": "code", "source": ["x = 1"], "outputs": [{"data": {"image/png": "A" * 1000}}]}
    (tmp_path / "analysis.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4}))
    client.train(tmp_path / "analysis.ipynb")
    sent = uploaded(platform)
    assert (sent.script_name, sent.experiment_name) == ("analysis.ipynb", "analysis")
    assert json.loads(sent.script_content) == {"cells": [{"cell_type": "code", "source": ["x = 1"]}], "nbformat": 4}
    (tmp_path / "broken.ipynb").write_text("{")
    client.train(tmp_path / "broken.ipynb")
    assert uploaded(platform).script_content == "{"

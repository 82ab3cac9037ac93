"""Upload of notebooks over HTTP."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"


def book(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()


async def send(client: httpx.AsyncClient, name: str, content: bytes, **fields: str) -> httpx.Response:
    return await client.post(UPLOAD, data={"experiment_name": "e", **fields}, files={"script": (name, content)})


async def taken(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return (await client.get(answer.json()["links"]["self"])).json()


async def test_notebook_becomes_the_script_of_its_cells(client: httpx.AsyncClient) -> None:
    answer = await send(client, "analysis.ipynb", book("%pip install humanize", "%matplotlib inline\nprint(1)"))
    job = await taken(client, answer)
    assert (job["script_name"], job["requirements"], job["requirements_source"]) == (
        "analysis.ipynb.py", ["humanize"], "notebook",
    )  # fmt: skip
    script = (await client.get(f"{answer.json()['links']['self']}/script")).text
    assert "# %% analysis.ipynb cell 2\npass\nprint(1)\n" in script


async def test_notebook_is_uploaded_as_json(client: httpx.AsyncClient) -> None:
    body = {"script_content": book("x = 1").decode(), "script_name": "a.ipynb", "experiment_name": "e"}
    assert (await taken(client, await client.post(UPLOAD, json=body)))["script_name"] == "a.ipynb.py"


async def test_packages_of_a_notebook_are_added_to_the_requirements(client: httpx.AsyncClient) -> None:
    answer = await send(client, "a.ipynb", book("!pip install humanize rich"), requirements="rich")
    job = await taken(client, answer)
    assert (job["requirements"], job["requirements_source"]) == (["rich", "humanize"], "request")


async def test_notebook_of_a_project_is_the_entrypoint(client: httpx.AsyncClient, platform: Platform) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("nb/a.ipynb", book("import lib"))
        archive.writestr("nb/lib.py", "")
    fields = {"experiment_name": "e", "entrypoint": "nb/a.ipynb"}
    answer = await client.post(UPLOAD, data=fields, files={"project": ("p.zip", packed.getvalue())})
    assert (await taken(client, answer))["entrypoint"] == "nb/a.ipynb.py"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.ipynb", book("x = 1", "%run b.py"), "cell 2, line 1: '%run b.py'"),
        ("a.ipynb", b"{", "not a notebook that can be run: it is not JSON"),
        ("a.ipynb", book("%pip install ./lib"), "%pip install: './lib' names a file or directory"),
        ("a.py", b"%matplotlib inline\nimport pandas\n", "line 1 is a notebook's magic"),
        ("a.py", b"!pip install humanize\nimport humanize\n", "line 1 is a notebook's magic"),
        ("a.py", b"x = 1\nx?\n", "line 2 is a notebook's magic"),
        ("a.py", b"get_ipython().run_line_magic('run', 'b.py')\n", "line 1: get_ipython() runs a notebook's magic"),
    ],
)
async def test_unsupported_cells_are_named(client: httpx.AsyncClient, name: str, content: bytes, words: str) -> None:
    answer = await send(client, name, content)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["errors"][0]["detail"]


async def test_exported_script_runs_without_its_magics(client: httpx.AsyncClient) -> None:
    exported = b"#!/usr/bin/env python\n# coding: utf-8\nget_ipython().run_line_magic('matplotlib', 'inline')\nprint(1)\n"
    answer = await send(client, "a.py", exported)
    script = (await client.get(f"{answer.json()['links']['self']}/script")).text
    assert script == "#!/usr/bin/env python\n# coding: utf-8\npass\nprint(1)\n"

"""``/console/``, ``/docs`` and ``/``: built files, their headers, and every other path."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serve_apps.console import static_files
from serve_apps.gateway.console import pages
from serve_apps.gateway.rest_api import create_app
from tests.unit.gateway.conftest import Platform, asked

INDEX = b"<!doctype html><title>Raylift</title>"
SCRIPT = b"console.log(1)"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a build."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_bytes(INDEX)
    (folder / "docs.html").write_bytes(b"<!doctype html><title>API</title>")
    (folder / "assets" / "index-Ab1.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-Ab1.js.gz").write_bytes(gzip.compress(SCRIPT))
    monkeypatch.setattr(pages, "read_static_files", lambda: static_files.read_static_files(folder))
    return folder


@pytest.fixture
def not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "read_static_files", lambda: static_files.read_static_files(tmp_path / "nothing"))


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """Ask an app with routes of its own: they read the build when they are made."""
    async with asked(create_app(platform.services)) as http:
        yield http


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_root_leads_to_the_console(built: Path, client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).headers["location"] == "/console/"


@pytest.mark.parametrize("path", ["/console/", "/console/jobs", "/console/models/a.b/3", "/console/index.html"])
async def test_every_page_is_the_index(built: Path, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.content == INDEX
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_file_is_immutable_and_compressed(built: Path, client: httpx.AsyncClient) -> None:
    answer = await client.get("/console/assets/index-Ab1.js", headers={"Accept-Encoding": "gzip"})
    assert answer.content == SCRIPT
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    plain = await client.get("/console/assets/index-Ab1.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == SCRIPT


async def test_file_of_another_build_is_not_the_index(built: Path, client: httpx.AsyncClient) -> None:
    answer = await client.get("/console/assets/index-Old.js")
    assert answer.status_code == 404
    assert "Reload the page" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/console/", "/console/jobs", "/docs", "/console/assets/index-Ab1.js"])
async def test_policy_allows_the_own_origin_alone(built: Path, client: httpx.AsyncClient, path: str) -> None:
    policy = (await client.get(path)).headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


@pytest.mark.parametrize("path", ["/console/", "/console/jobs", "/docs"])
async def test_missing_build_says_how_to_make_it(not_built: None, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 503
    assert "make console" in answer.text


async def test_pages_are_not_in_the_api_document(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if path.startswith(("/console", "/docs"))]

"""``client.datasets``: files in parts, and downloads that are checked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client
from raylift.client.data import datasets

CONTENT = b"0123456789"
TIME = "2026-01-02T03:04:05Z"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Gateway:
    """The routes of datasets. ``loses`` answers of parts are lost after the part has come."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.added: list[dict[str, Any]] = []
        self.loses = 0
        self.content = CONTENT

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/mlops/datasets")
        if path.startswith("/files/"):
            return self._file(request, path.rpartition("/")[2])
        if request.method == "POST":
            self.added.append(json.loads(request.content))
            return httpx.Response(201, json=view(self.content))
        if path.endswith("/file"):
            return httpx.Response(200, content=self.content)
        if path == "/churn":
            versions = [view(CONTENT)]
            return httpx.Response(200, json={"name": "churn", "versions": versions, "uses": [], "links": {}})
        return httpx.Response(200, json=view(CONTENT))

    def _file(self, request: httpx.Request, sha256: str) -> httpx.Response:
        have = self.files.setdefault(sha256, b"")
        total = int(request.url.params.get("total", -1))
        if request.method == "PUT" and int(request.url.params["offset"]) != len(have):
            problem = {"title": "Conflict", "status": 409, "detail": "go on", "code": "upload_conflict"}
            return httpx.Response(409, json=problem)
        if request.method == "PUT":
            have = self.files[sha256] = have + request.content
            if self.loses:
                self.loses -= 1
                raise httpx.ReadError("lost")
        is_complete = sha(have) == sha256 and total in (-1, len(have))
        return httpx.Response(200, json={"sha256": sha256, "have": len(have), "complete": is_complete})


def view(content: bytes) -> dict[str, Any]:
    file = {"path": "a.csv", "sha256": sha(CONTENT), "size_bytes": len(content)}
    return {
        "name": "churn", "version": 1, "reference": "churn@1", "digest": sha(CONTENT), "size_bytes": 10, "file_count": 1,
        "folder": False, "format": "csv", "rows": 1, "column_count": 0, "source": None, "job_id": None, "created_at": TIME,
        "created_by": "ada", "links": {"self": "/mlops/datasets/churn/versions/1"}, "columns": [], "profiled_rows": 1,
        "note": None, "files": [file], "uses": [],
    }  # fmt: skip


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def client(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(datasets, "PART_BYTES", 4)
    return Client("http://platform.invalid", transport=httpx.MockTransport(gateway))


def test_file_is_sent_in_parts(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    told: list[tuple[int, int]] = []
    assert client.datasets.add("churn", tmp_path / "a.csv", progress=lambda *done: told.append(done)).reference == "churn@1"
    assert gateway.files == {sha(CONTENT): CONTENT}
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert gateway.added == [{"name": "churn", "files": [{"path": "a.csv", "sha256": sha(CONTENT)}], "folder": False}]


def test_upload_goes_on_after_a_lost_answer(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    gateway.loses = 1
    client.datasets.add("churn", tmp_path / "a.csv")
    assert gateway.files == {sha(CONTENT): CONTENT}


def test_upload_goes_on_where_an_earlier_one_stopped(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    gateway.files[sha(CONTENT)] = CONTENT[:8]
    client.datasets.add("churn", tmp_path / "a.csv")
    assert gateway.files == {sha(CONTENT): CONTENT}


def test_folder_is_sent_with_paths_in_it(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.csv").write_bytes(b"b")
    (tmp_path / "a.csv").write_bytes(b"")
    client.datasets.add("churn", tmp_path)
    (added,) = gateway.added
    assert [file["path"] for file in added["files"]] == ["a.csv", "sub/b.csv"]
    assert added["folder"] is True


def test_address_is_registered(client: Client, gateway: Gateway) -> None:
    client.datasets.add("churn", "s3://lake/x")
    client.datasets.add("churn", "/data/x", register=True)
    assert gateway.added == [{"name": "churn", "uri": "s3://lake/x"}, {"name": "churn", "uri": "/data/x"}]
    assert gateway.files == {}


def test_download_is_checked(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    assert client.datasets.download("churn", tmp_path / "copy.csv").read_bytes() == CONTENT
    assert client.datasets.download("churn@1", tmp_path) == tmp_path / "a.csv"
    with pytest.raises(FileExistsError):
        client.datasets.download("churn@1", tmp_path)
    gateway.content = b"damaged"
    with pytest.raises(ValueError, match="other bytes"):
        client.datasets.download("churn@1", tmp_path / "again.csv")
    assert not (tmp_path / "again.csv").exists()
    with pytest.raises(ValueError, match="NAME@3"):
        client.datasets.get("churn@x")

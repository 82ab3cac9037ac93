from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client, InvalidRequest, NotFound
from raylift.client.jobs.project import pack_directory
from raylift.domain.project import unpack

UPLOAD = "/mlops/training/upload"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def packed(root: Path) -> set[str]:
    return {file.path for file in unpack(pack_directory(root).content)}


def test_equal_files_give_equal_archives(tmp_path: Path) -> None:
    files = {"train.py": "1", "pkg/a.py": "2", "data/x.csv": "3"}
    first = pack_directory(write(tmp_path / "a", files))
    second = write(tmp_path / "b", dict(reversed(files.items())))
    os.utime(second / "train.py", (1, 1))
    assert pack_directory(second) == first


def test_default_exclusions_can_be_overridden(tmp_path: Path) -> None:
    files = [".git/config", ".venv/bin/python", "venv/x", "pkg/__pycache__/a.pyc", "a.pyc", "pkg/a.py", ".env", ".gitignore"]
    write(tmp_path, dict.fromkeys(files, ""))
    assert packed(tmp_path) == {"pkg/a.py", ".env", ".gitignore"}
    write(tmp_path, {".gitignore": "!venv/\n.env\n", ".rayliftignore": "!.env\n"})
    assert packed(tmp_path) == {"pkg/a.py", ".env", ".gitignore", ".rayliftignore", "venv/x"}
    # All files except Python files. That does not mean the Python files of a virtual environment.
    write(tmp_path, {".venv/lib/a.py": "", ".gitignore": "*\n!*/\n!*.py\n", ".rayliftignore": ""})
    assert packed(tmp_path) == {"pkg/a.py"}


FILES = [
    "keep.log",
    "x.log",
    "build/a",
    "src/build/a",
    "src/x.log",
    "src/x.tmp",
    "src/deep/x.tmp",
    "src/deep/keep.tmp",
    "docs/a.md",
    "docs/sub/b.md",
    "a b.txt",
    "#hash",
    "data/raw/big.bin",
    "data/raw/keep/this.bin",
    "data/small.csv",
    "models/.gitkeep",
    "models/big.bin",
    "config/.secret",
    "config/a.json",
    "lists/a/b/c.py",
    "lists/a/b/c.txt",
]
IGNORES = {
    ".gitignore": "*.log\n!keep.log\n/build/\ndocs/**/b.md\na\\ b.txt\n\\#hash\ndata/raw/*\n!data/raw/keep/\n"
    "models/**\n!models/.gitkeep\n.secret\n!config/\n",
    "config/.gitignore": "!/*/\n",
    "lists/.gitignore": "*\n!*/\n!*.py\n",
    "src/.gitignore": "*.tmp\n!x.log\n/deep/x.tmp\n",
    "src/deep/.gitignore": "!keep.tmp\n",
}


def test_ignore_files_follow_git_s_rules(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(FILES, "") | IGNORES)
    git = ["git", "-C", str(tmp_path), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run([*git, "ls-files", "-z", "-o", "--exclude-standard"], check=True, capture_output=True, text=True)
    assert packed(tmp_path) == set(listed.stdout.rstrip("\0").split("\0"))


def test_empty_directories_are_kept(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": "", ".gitignore": "skipped/\n"})
    for name in ("out/plots", "skipped", "__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    assert packed(tmp_path) == {"train.py", ".gitignore", "out/plots/"}


def test_links_out_of_the_project_and_to_folders_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {"train.py": "1"})
    (root / "same.py").symlink_to("train.py")
    assert packed(root) == {"train.py", "same.py"}
    (tmp_path / "secret").write_text("!")
    (root / "out").symlink_to("../secret")
    with pytest.raises(ValueError, match="leads out of the project"):
        pack_directory(root)
    write(root, {".rayliftignore": "out\n"})
    assert "out" not in packed(root)
    (root / "loop").symlink_to(".")
    with pytest.raises(ValueError, match="a link to a directory"):
        pack_directory(root)


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="neither a file nor a directory"):
        pack_directory(tmp_path)


def parts(request: httpx.Request) -> dict[str, bytes]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + request.content)
    found: dict[str, bytes] = {}
    for part in message.get_payload():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found[str(part.get_param("name", header="content-disposition"))] = content
    return found


def test_project_folder_is_uploaded(client: Client, platform: Any, accepted: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, {"jobs/fit.py": "print(1)"})
    platform.on("POST", UPLOAD, httpx.ReadError("gone"), httpx.Response(202, json=accepted))
    job = client.train(tmp_path, entrypoint="jobs/fit.py", env={"A": "1"}, args=["x y"], requirements=["numpy"], autolog=False)
    assert job.job_id == "job_1"
    sent = [parts(request) for request in platform.requests]
    assert sent[0] == sent[1]
    assert platform.requests[0].headers["idempotency-key"] == platform.requests[1].headers["idempotency-key"]
    form = sent[0]
    assert form.pop("project") == pack_directory(tmp_path).content
    assert (form["entrypoint"], form["experiment_name"]) == (b"jobs/fit.py", b"fit")
    assert json.loads(form["args"]) == ["x y"] and json.loads(form["requirements"]) == ["numpy"]
    assert json.loads(form["environment"]) == {"A": "1"} and json.loads(form["autolog"]) is False
    assert not {"model_name", "script_content", "script_name"} & form.keys()


def test_archive_is_uploaded_unchanged(client: Client, platform: Any, accepted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(b"PK whatever")
    platform.on("POST", UPLOAD, httpx.Response(202, json=accepted))
    client.train(tmp_path / "p.zip", entrypoint="train.py", model="churn")
    form = parts(platform.requests[0])
    assert (form["project"], form["experiment_name"], form["model_name"]) == (b"PK whatever", b"churn", b"churn")


def test_contradicting_arguments_are_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a directory: name the script"):
        client.train(tmp_path)
    with pytest.raises(ValueError, match="an entrypoint is of a project"):
        client.train(script_content="1", entrypoint="x.py")
    with pytest.raises(OSError, match="nope"):
        client.train(tmp_path / "nope", entrypoint="x.py")


def test_wrong_projects_are_refused(
    client: Client, platform: Any, make_problem: Callable[..., httpx.Response], tmp_path: Path
) -> None:
    errors = [{"field": "entrypoint", "detail": "does not compile", "line": 2, "column": 1}]
    platform.on("POST", UPLOAD, make_problem(422, "invalid_request", "no", errors=errors))
    with pytest.raises(InvalidRequest) as caught:
        client.train(write(tmp_path, {"x.py": ""}), entrypoint="x.py")
    assert caught.value.errors[0].line == 2


def test_archive_of_a_job_is_downloaded(client: Client, platform: Any, make_job: Callable[..., dict[str, Any]]) -> None:
    platform.on(
        "GET", "/mlops/training/jobs/job_1", httpx.Response(200, json=make_job(project_sha256="a" * 64, entrypoint="x.py"))
    )
    platform.on("GET", "/mlops/training/jobs/job_1/project", httpx.Response(200, content=b"\x1f\x8b"))
    job = client.jobs.get("job_1")
    assert (job.project(), job.view.entrypoint) == (b"\x1f\x8b", "x.py")


def test_difference_of_two_jobs_is_read(client: Client, platform: Any, make_job: Callable[..., dict[str, Any]]) -> None:
    empty: dict[str, list[str]] = {"removed": [], "added": []}
    answer = {"first": "job_1", "second": "job_2", "same": False, "script": "-a\n+b\n", "project": [], "requirements": empty}
    answer |= {"environment_lock": empty, "args": None, "environment": [{"name": "A", "change": "changed"}]}
    answer |= {"resources": [{"name": "cpus", "first": 1.0, "second": 2.0}], "settings": [], "metrics": []}
    platform.on("GET", "/mlops/training/jobs/job_1/diff/job_2", httpx.Response(200, json=answer))
    platform.on("GET", "/mlops/training/jobs/job_1", httpx.Response(200, json=make_job()))
    diff = client.jobs.diff(client.jobs.get("job_1"), "job_2")
    assert (diff.script, diff.environment[0].name, diff.resources[0].second) == ("-a\n+b\n", "A", 2.0)
    with pytest.raises(NotFound):
        client.jobs.diff("job_1", "nope")

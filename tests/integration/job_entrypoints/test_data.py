"""The data of a job: read in the sandbox, never written, kept by content, and checked."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.data.cache import DataCache
from job_entrypoints.linux.landlock import ABI_OF_SCOPES, abi_version

SCRIPT = """
import json, os
path = os.environ["RAYLIFT_DATA_TRAIN"]
def attempt(step):
    try:
        step()
        return "done"
    except OSError:
        return "refused"
def read(path):
    return [open(os.path.join(path, name)).read() for name in ("a.csv", "sub/b.csv")]
changes = [
    lambda: open(path + "/a.csv", "w"),
    lambda: os.unlink(path + "/a.csv"),
    lambda: open(path + "/new", "w"),
    lambda: os.chmod(path + "/a.csv", 0o666),
    lambda: os.rename(path, path + "2"),
    lambda: os.listdir(os.path.dirname(path)) and open(os.path.dirname(path) + "/other.lock"),
]
print(json.dumps([read(path), [attempt(change) for change in changes]]))
"""


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def dataset(files: dict[str, Path], *, key: str = "k" * 64, ours: bool = True, **wrong: str) -> dict[str, Any]:
    return {
        "alias": "train",
        "variable": "RAYLIFT_DATA_TRAIN",
        "name": "churn",
        "version": 3,
        "digest": "d" * 64,
        "key": key,
        "single": None,
        "source": "raylift://datasets/default/churn/3",
        "files": [
            {
                "path": path,
                "sha256": wrong.get(path.replace(".", "_"), sha(file.read_text())),
                "bytes": file.stat().st_size,
                "local": str(file),
                "is_ours": ours,
            }
            for path, file in files.items()
        ],
    }


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Not below pytest's own folder, which is closed to other users all the way."""
    folder = Path(tempfile.mkdtemp(prefix="rl-data-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tmp_path(state_dir: Path) -> Path:
    attempts = state_dir / "attempts"
    attempts.mkdir(mode=0o700)
    return attempts


@pytest.fixture
def files(state_dir: Path) -> dict[str, Path]:
    blobs = state_dir / "blobs"
    blobs.mkdir(mode=0o700)
    found = {"a.csv": blobs / "1", "sub/b.csv": blobs / "2"}
    for number, file in enumerate(found.values()):
        file.write_text(f"{number}\n")
        file.chmod(0o444)
    return found


@pytest.fixture
def with_data(run: Callable[..., Any], state_dir: Path) -> Callable[..., Any]:
    """Run a script in a sandbox with a dataset. Returns the result of the wrapper."""

    def result(data: dict[str, Any], source: str = SCRIPT, **overrides: Any) -> Any:
        record = {
            "isolation": "sandbox",
            "network": "full",
            "protected_paths": [str(state_dir)],
            "job_users": [1_900_000_000, 1000],
            "data": [data],
            "data_cache": str(state_dir / "data_cache"),
            "data_cache_bytes": 10**9,
        }
        return run(source, **record | overrides)

    return result


@pytest.mark.skipif(abi_version() < ABI_OF_SCOPES, reason="this kernel's Landlock cannot confine all of it")
def test_script_reads_its_data_and_changes_nothing(
    with_data: Callable[..., Any], files: dict[str, Path], state_dir: Path
) -> None:
    result = with_data(dataset(files))
    assert result.progress["outcome"] == "exited", result.output
    read, changes = json.loads(result.output.splitlines()[-1])
    assert read == ["0\n", "1\n"]
    assert set(changes) == {"refused"}
    # Linked, so a copy takes no room where the platform's own bytes are.
    assert files["a.csv"].samefile(state_dir / "data_cache" / ("k" * 64) / "a.csv")


def test_other_bytes_end_the_attempt(with_data: Callable[..., Any], files: dict[str, Path], state_dir: Path) -> None:
    result = with_data(dataset(files, a_csv="0" * 64))
    assert result.progress["outcome"] == "data_error"
    assert "a.csv of the dataset churn@3 has changed since it was added" in result.progress["message"]
    assert not (state_dir / "data_cache" / ("k" * 64)).exists()


def test_lost_file_ends_the_attempt(with_data: Callable[..., Any], files: dict[str, Path]) -> None:
    data = dataset(files, ours=False)
    files["a.csv"].unlink()
    result = with_data(data)
    assert result.progress["outcome"] == "data_error"
    assert "cannot be read: No such file" in result.progress["message"]


def test_registered_file_is_copied(with_data: Callable[..., Any], files: dict[str, Path], state_dir: Path) -> None:
    with_data(dataset(files, ours=False))
    copy = state_dir / "data_cache" / ("k" * 64) / "a.csv"
    assert copy.read_text() == "0\n"
    assert not files["a.csv"].samefile(copy)


def test_least_recently_used_copies_make_room(files: dict[str, Path], state_dir: Path) -> None:
    folder = state_dir / "data_cache"

    def provide(key: str) -> None:
        DataCache(str(folder), 8).provide(dataset(files, key=key), "job-a1", lambda _: None)  # pyright: ignore[reportArgumentType]

    def present() -> set[str]:
        return {path.name for path in folder.iterdir() if path.is_dir()}

    pids = []
    for key, used_at in (("one", 100), ("two", 200)):
        if not (pid := os.fork()):  # Its locks end with it.
            provide(key)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        os.utime(folder / f"{key}.lock", (used_at, used_at))
        pids.append(pid)
    assert present() == {"one", "two"}
    provide("three")
    assert present() == {"two", "three"}
    # This process uses the third one still.
    provide("four")
    provide("five")
    assert present() == {"three", "four", "five"}
    lock = os.open(folder / "five.lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)

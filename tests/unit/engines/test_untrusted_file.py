"""Hostile replacements of an attempt's files: none stops, fills or deceives the platform."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.untrusted_file import open_plain, plain_size, read_plain
from raylift.services.jobs.logs import LogFile


def secret(path: Path) -> None:
    path.with_name("secret").write_text("secret")
    path.symlink_to(path.with_name("secret"))


INSTEAD: dict[str, Callable[[Path], object]] = {
    "a pipe nobody writes to": os.mkfifo,
    "a directory": Path.mkdir,
    "a link": secret,
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("make", INSTEAD.values(), ids=INSTEAD.keys())
def test_special_files_are_not_read(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    make(path)
    assert open_plain(path) is None
    assert read_plain(path, 10) is None
    assert plain_size(path) == 0


@pytest.mark.parametrize("make", INSTEAD.values(), ids=INSTEAD.keys())
def test_progress_and_log_are_not_read_from_special_files(tmp_path: Path, make: Callable[[Path], object]) -> None:
    directory = AttemptDirectory(tmp_path, "a")
    directory.path.mkdir()
    make(directory.path / "progress.json")
    directory.path.joinpath("secret").unlink(missing_ok=True)
    make(directory.output())
    assert directory.progress() is None
    log = LogFile(1, directory.output())
    assert (log.size(), log.tail(), log.last_lines(5)) == (0, "", "")


def test_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert (read_plain(path, 5), plain_size(path)) == (b"12345", 5)
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_plain(path, 4)


def test_sparse_terabyte_file_is_not_read(tmp_path: Path) -> None:
    directory = AttemptDirectory(tmp_path, "a")
    directory.path.mkdir()
    os.truncate(os.open(directory.path / "progress.json", os.O_CREAT | os.O_RDWR), 2**40)
    with pytest.raises(ValueError, match="more than"):
        directory.progress()

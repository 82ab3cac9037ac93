from __future__ import annotations

import gzip
import hashlib

import pytest

from raylift.domain.project import ProjectFile, UnsafePath, checked_path, digest_of, pack, unpack

FILES = [
    ProjectFile("b.py", b"1"),
    ProjectFile("a/ü" + "x" * 120, b"2" * 3000, executable=True),
    ProjectFile("empty", b""),
    ProjectFile("out/", b""),
]


def test_hash_does_not_depend_on_the_order_of_files() -> None:
    packed = pack(FILES)
    assert pack(reversed(FILES)) == packed
    assert hashlib.sha256(gzip.decompress(packed.content)).hexdigest() == packed.sha256 == digest_of(packed.content)


@pytest.mark.parametrize(
    "other",
    [
        [ProjectFile("c.py", b"1"), *FILES[1:]],
        [ProjectFile("b.py", b"2"), *FILES[1:]],
        [ProjectFile("b.py", b"1", executable=True), *FILES[1:]],
        FILES[1:],
        FILES[:-1],
        [*FILES[:-1], ProjectFile("out", b"")],
    ],
)
def test_hash_depends_on_names_contents_and_modes(other: list[ProjectFile]) -> None:
    assert pack(other).sha256 != pack(FILES).sha256


def test_packed_files_are_unpacked_unchanged() -> None:
    assert sorted(unpack(pack(FILES).content), key=lambda file: file.path) == sorted(FILES, key=lambda file: file.path)


@pytest.mark.parametrize(("name", "path"), [("./a//b.py", "a/b.py"), ("a/./b", "a/b"), ("a b/ü.py", "a b/ü.py")])
def test_paths_are_normalised(name: str, path: str) -> None:
    assert checked_path(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "C:\\x",
        "C:x",
        "a\\b",
        "",
        ".",
        "./",
        "a\0b",
        "a\nb",
        "\udcff",
        "x" * 256,
        "/x" * 600,
    ],
)
def test_invalid_paths_are_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        checked_path(name)

"""Common archives and malicious archives."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylift.domain.errors import InvalidRequest, TooLarge
from raylift.domain.project import pack
from raylift.services.uploads.archives import read_project
from raylift.settings import JobSettings

LIMITS = JobSettings(max_project_bytes=1 << 20, max_project_unpacked_bytes=8 << 20, max_project_files=50)
FILES = {"train.py": b"print(1)\n", "pkg/__init__.py": b"", "data/x.csv": b"1,2\n" * 100}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*entries: tuple[str, bytes, dict[str, Any]], fmt: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=fmt) as archive:
        for name, content, fields in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in fields.items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def plain(files: dict[str, bytes], fmt: int = tarfile.PAX_FORMAT) -> bytes:
    return tarred(*((name, content, {"mtime": 7, "uname": "me"}) for name, content in files.items()), fmt=fmt)


def contents(archive: bytes) -> dict[str, bytes]:
    return {path: file.content for path, file in read_project(archive, LIMITS).items()}


def refusal(archive: bytes, limits: JobSettings = LIMITS) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_project(archive, limits)
    [error] = caught.value.errors
    assert error.field == "project"
    return error.detail


@pytest.mark.parametrize(
    "archive",
    [
        zipped(FILES),
        zipped(FILES, zipfile.ZIP_STORED),
        plain(FILES),
        plain(FILES, tarfile.GNU_FORMAT),
        plain({f"./{name}": content for name, content in FILES.items()}),
        tarred(("pkg", b"", {"type": tarfile.DIRTYPE}), *((n, c, {}) for n, c in reversed(FILES.items()))),
    ],
    ids=["deflated", "stored", "pax", "gnu", "dot", "directories"],
)
def test_equal_files_are_the_same_project(archive: bytes) -> None:
    files = read_project(archive, LIMITS)
    assert {path: file.content for path, file in files.items()} == FILES
    assert pack(files.values()).sha256 == pack(read_project(zipped(FILES), LIMITS).values()).sha256


def test_executable_bit_is_kept() -> None:
    entry = zipfile.ZipInfo("run.sh")
    entry.external_attr = (stat.S_IFREG | 0o755) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, b"#!/bin/sh\n")
    assert read_project(buffer.getvalue(), LIMITS)["run.sh"].executable
    assert read_project(tarred(("run.sh", b"", {"mode": 0o755})), LIMITS)["run.sh"].executable


@pytest.mark.parametrize("name", ["../evil.py", "/etc/cron.d/x", "a/../../x", "C:\\evil.py", "a\\..\\b", "a\nb.py", "x" * 300])
def test_paths_out_of_the_project_are_refused(name: str) -> None:
    assert repr(name) in refusal(tarred((name, b"", {})))
    assert repr(name) in refusal(zip_with_name(name))


def test_name_with_a_null_byte_is_refused() -> None:
    assert "control characters" in refusal(zip_with_name("nul\0.py"))


def zip_with_name(name: str) -> bytes:
    """Zipfile itself cuts names at null bytes and changes no backslash. The archive has the name unchanged."""
    stand_in = "\x7f" * len(name.encode())
    return zipped({stand_in: b""}).replace(stand_in.encode(), name.encode())


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "no regular file"),
        (tarfile.BLKTYPE, "no regular file"),
        (tarfile.FIFOTYPE, "no regular file"),
    ],
)
def test_special_files_of_a_tar_are_refused(kind: bytes, word: str) -> None:
    assert word in refusal(tarred(("x", b"", {"type": kind, "linkname": "/etc/passwd"})))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_special_files_of_a_zip_are_refused(kind: int) -> None:
    entry = zipfile.ZipInfo("x")
    entry.external_attr = (kind | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, b"/etc/passwd")
    assert "no regular file" in refusal(buffer.getvalue())


def test_file_behind_a_link_to_a_directory_is_refused() -> None:
    assert "link" in refusal(tarred(("d", b"", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("d/x", b"!", {})))


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a.py", "a.py"], "twice"),
        (["a.py", "./a.py"], "twice"),
        (["a.py", "A.py"], "case does not count"),
        (["pkg/a.py", "Pkg/b.py"], "case does not count"),
        (["stra\u00dfe.py", "STRASSE.py"], "case does not count"),
        (["e\u0301.py", "\u00e9.py"], "case does not count"),
        (["a", "a/b"], "both as a file and as a directory"),
    ],
)
def test_colliding_names_are_refused(names: list[str], word: str) -> None:
    assert word in refusal(tarred(*((name, b"", {}) for name in names)))


DIRECTORY = {"type": tarfile.DIRTYPE}


@pytest.mark.parametrize(
    "archive",
    [
        zipped({"out/": b"", "out/plots/": b"", "./": b"", "pkg/": b"", "pkg/a.py": b""}),
        tarred(
            (".", b"", DIRECTORY), ("./pkg/a.py", b"", {}), *((f"./{name}", b"", DIRECTORY) for name in ("out/plots", "pkg"))
        ),
    ],
    ids=["zip", "tar"],
)
def test_empty_directories_are_kept_and_no_others(archive: bytes) -> None:
    assert sorted(read_project(archive, LIMITS)) == ["out/plots/", "pkg/a.py"]


@pytest.mark.parametrize(
    ("name", "word"), [("../out", "'..'"), ("/out", "absolute"), ("A", "case does not count"), ("a", "both as a file")]
)
def test_forbidden_directories_are_refused(name: str, word: str) -> None:
    assert word in refusal(tarred(("a", b"", {}), (name, b"", DIRECTORY)))


def test_archive_bombs_are_refused() -> None:
    zeros = b"\0" * (6 << 20)
    assert "bombs" in refusal(zipped({"x": zeros}))
    assert "bombs" in refusal(plain({"x": zeros}))
    with pytest.raises(TooLarge):
        read_project(zipped({"x": b"\0" * (9 << 20)}), LIMITS.model_copy(update={"max_project_ratio": 10_000}))
    with pytest.raises(TooLarge):
        read_project(b"PK\x03\x04" + b"x" * (2 << 20), LIMITS)


def test_zip_with_wrong_sizes_in_its_directory_is_refused() -> None:
    content = b"\0" * (6 << 20)
    honest = zipped({"x": content})
    size = struct.pack("<L", len(content))
    assert honest.count(size) == 2
    assert refusal(honest.replace(size, struct.pack("<L", 10)))


def test_zip_of_overlapping_files_is_refused() -> None:
    """Many entries of the directory share one file, as in the smallest archive bombs."""
    content = b"\0" * (1 << 20)
    one = zipped({"a": content})
    start = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    entry, tail = one[start:end], bytearray(one[end:])
    entries = b"".join(entry.replace(b"a", bytes([97 + n]), 1) for n in range(26))
    struct.pack_into("<HHL", tail, 8, 26, 26, len(entries))
    assert refusal(one[:start] + entries + bytes(tail))


def test_too_many_files_and_directories_are_refused() -> None:
    many = {f"f{n}": b"" for n in range(51)}
    assert "more than 50 files" in refusal(zipped(many))
    assert "more than 50 files" in refusal(plain(many))
    assert "more than 50 files" in refusal(tarred(*((f"d{n}", b"", {"type": tarfile.DIRTYPE}) for n in range(51))))
    assert "more than 50 files" in refusal(zipped({f"d{n}/": b"" for n in range(200)}))


def test_endless_headers_are_refused() -> None:
    long = tarred(("x", b"", {"pax_headers": {"comment": "\0" * (9 << 20)}}))
    assert "headers" in refusal(long, LIMITS)


def test_sparse_files_are_refused() -> None:
    header = tarfile.TarInfo("x")
    header.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"77777777777\0"  # its real size: 8 GiB of holes
    raw[148:156] = b" " * 8
    raw[148:156] = f"{sum(raw[:512]):06o}\0 ".encode()
    assert "no regular file" in refusal(gzip.compress(bytes(raw) + bytes(1024)))


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"print(1)",
        plain(FILES)[:-30],
        zipped(FILES)[:-30],
        zipped(FILES)[:100],
        gzip.compress(b"no tar" * 200),
        gzip.compress(gzip.decompress(plain(FILES))[:700]),
        plain({}),
        zipped({}),
        zipped({"empty/": b""}),
        zipped({"x": b"1"}, zipfile.ZIP_LZMA),
    ],
    # Their bytes contain the time of their creation.
    ids=range(11),
)
def test_other_or_truncated_files_are_refused(archive: bytes) -> None:
    assert refusal(archive)


def test_file_without_a_name_is_refused() -> None:
    archive = bytearray(zipped({"x": b""}))
    archive[archive.index(b"PK\x01\x02") + 28] = 0  # the length of the name, in the directory
    assert "damaged" in refusal(bytes(archive))


def test_encrypted_zip_is_refused() -> None:
    archive = bytearray(zipped({"x": b"1"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    assert "encrypted" in refusal(bytes(archive))


def test_damaged_file_in_a_zip_is_refused() -> None:
    archive = zipped({"x": b"hello world"}, zipfile.ZIP_STORED)
    assert "damaged" in refusal(archive.replace(b"hello", b"jello"))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), zip_file=st.booleans())
def test_random_damage_is_refused_or_harmless(at: int, value: int, zip_file: bool) -> None:
    whole = bytearray(zipped(FILES) if zip_file else gzip.decompress(plain(FILES)))
    whole[at % len(whole)] = value
    archive = bytes(whole) if zip_file else gzip.compress(bytes(whole), 1)
    try:
        read_project(archive, LIMITS)
    except (InvalidRequest, TooLarge):
        return

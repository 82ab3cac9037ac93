from __future__ import annotations

import pytest

from raylift.domain.sources.requirement_files import (
    UnreadableText,
    decode_requirements,
    http_host,
    line_problem,
    requirement_lines,
)

TEXT = "humanize==4.9.0  # größer\r\nrich\r\n"


def read(text: str) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in requirement_lines(text.splitlines())]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_every_encoding_is_read(encoding: str) -> None:
    assert read(decode_requirements(TEXT.encode(encoding))) == [(1, "humanize==4.9.0"), (2, "rich")]


def test_big_endian_file_with_a_byte_order_mark_is_read() -> None:
    assert decode_requirements(b"\xfe\xff" + "rich".encode("utf-16-be")) == "rich"


def test_declared_encoding_is_used() -> None:
    text = "# -*- coding: latin-1 -*-\nrich  # für\n"
    assert decode_requirements(text.encode("latin-1")) == text


def test_requirement_with_undecodable_letters_is_refused() -> None:
    with pytest.raises(UnreadableText) as refused:
        decode_requirements("rich\n\nhüpf\n".encode("latin-1"))
    assert refused.value.line == 3


def test_continued_lines_hashes_and_comments_are_read() -> None:
    text = (
        "# by uv export\n\n"
        "humanize==4.9.0 ; python_full_version >= '3.11' \\\n    --hash=sha256:58 \\\n    --hash sha256:ce\n    # via x\n"
        "numpy>=2,\\\n <3\n"
        "h @ https://example.test/h.zip#sha256=00  # why\n"
        "rich \\\n# ends it\n"
        "last \\"
    )
    lines = list(requirement_lines(text.splitlines()))
    assert [(line.number, " ".join(line.text.split())) for line in lines] == [
        (3, "humanize==4.9.0 ; python_full_version >= '3.11'"),
        (7, "numpy>=2, <3"),
        (9, "h @ https://example.test/h.zip#sha256=00"),
        (10, "rich"),
        (12, "last"),
    ]
    assert lines[0].hashes == ("--hash=sha256:58", "--hash sha256:ce")
    assert lines[0].with_hashes.endswith("'3.11' --hash=sha256:58 --hash sha256:ce")


@pytest.mark.parametrize(
    ("text", "name"), [("-r b.txt", "b.txt"), ("-rb.txt", "b.txt"), ("--requirement=b.txt", "b.txt"), ("rich", None)]
)
def test_included_files_are_read(text: str, name: str | None) -> None:
    (line,) = requirement_lines([text])
    assert line.included == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-e .", "uv export --no-emit-project"),
        ("--editable=./lib", "remove the line"),
        (
            "-e git+https://example.test/x/y.git@0a1b#egg=my_lib&subdirectory=py",
            "write 'my_lib @ git+https://example.test/x/y.git@0a1b' instead",
        ),
        ("-c constraints.txt", "write the versions into the requirements and remove the line"),
        ("--constraint constraints.txt", "constraints"),
        ("-i https://example.test/simple", "remove the line"),
        ("--extra-index-url=https://example.test/simple", "platform's own configuration"),
        ("--find-links ./wheels", "remove the line"),
        ("--trusted-host x", "remove the line"),
        ("--pre", "option of pip"),
        ("-r other.txt", "raylift train -r"),
        ("numpy --config-settings=a=b", "--config-settings"),
        ("certifi @ file:///croot/certifi_1671487769961/work/certifi", "write certifi==VERSION"),
        ("x[a] @ FILE:///c/x.whl", "write x[a]==VERSION"),
        ("git+https://example.test/x.git#egg=x", "write 'x @ git+https://example.test/x.git'"),
        ("https://example.test/x.whl", "write 'NAME @ https://example.test/x.whl'"),
        (".", "of your machine"),
        ("./lib", "of your machine"),
        ("C:\\lib", "of your machine"),
        ("dist/x-1.0-py3-none-any.whl", "of your machine"),
        ("x @ /etc", "names a file or directory"),
        ("x@./lib", "names a file or directory"),
        ("x[a,b] @ ~/lib", "names a file or directory"),
        ("x @ git+file:///srv/x.git", "names a file or directory"),
        ("x @ C:\\lib", "names a file or directory"),
        ("x @ git+ssh://git@example.test/x.git", "git+ssh: write an https:// or git+https://"),
        ("x @ git+http://example.test/x.git", "git+http: write an https:// or git+https://"),
        ("x @ ftp://example.test/x.whl", "ftp: write an https:// or git+https://"),
        ("x @ https:///x.whl", "without a host"),
        ("x @ https://[x/x.whl", "without a host"),
        ("x @ https://example.test/${RAYLIFT_DATABASE_URL}/x.whl", "variables are not replaced"),
        ("${NAME}", "variables are not replaced"),
        ("x==1 ; python_version > '$V'", "variables are not replaced"),
    ],
)
def test_unsupported_lines_say_what_to_do(text: str, words: str) -> None:
    assert words in (line_problem(text) or "")


@pytest.mark.parametrize(
    "text",
    [
        "rich",
        "rich>=13,<14; sys_platform != 'win32'",
        "x @ https://example.test/x-1.0-py3-none-any.whl",
        "x @ git+https://example.test/x.git@main",
        "numpy[extra]==2.*",
    ],
)
def test_valid_requirements_have_no_problem(text: str) -> None:
    assert line_problem(text) is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("x @ http://Index.test:8080/x.whl", "index.test"),
        ("x[a]@http://u:p@index.test/x.whl ; python_version > '3'", "index.test"),
        ("x @ https://index.test/x.whl", None),
        ("x", None),
    ],
)
def test_host_of_an_http_address_is_found(text: str, host: str | None) -> None:
    assert http_host(text) == host

from __future__ import annotations

import sys
import time
from collections.abc import Collection

import pytest

from raylift.domain.project import ProjectFile
from raylift.services.requirements import sources
from raylift.services.requirements.pep723 import metadata_blocks
from raylift.services.requirements.sources import Sourced, find_requirements, read_uploaded, with_packages

OWN = ".".join(map(str, sys.version_info[:2]))
INLINE = f"""#!/usr/bin/env python
# /// script
# requires-python = ">={OWN}"
# dependencies = [
#   "requests<3",
#   "rich",
# ]
# ///
print(1)
"""


def found(script: str = "print(1)", *given: str, path: str = "train.py", **files: str) -> Sourced:
    tree = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    project = {name: ProjectFile(name, text.encode()) for name, text in tree.items()} if files else None
    return find_requirements(given, script.encode(), path, project)


def errors(sourced: Sourced) -> list[str]:
    assert all(error.field == "requirements" for error in sourced.errors)
    return [error.detail for error in sourced.errors]


def test_no_source_gives_no_requirements() -> None:
    assert found() == Sourced() == found(train_py="")


def test_inline_metadata_of_the_script_is_used() -> None:
    assert found(INLINE) == Sourced(("requests<3", "rich"), "script metadata", [])
    assert found(INLINE.replace("\n", "\r\n")).requirements == ("requests<3", "rich")


def test_requirements_of_the_request_win() -> None:
    assert found(INLINE, "numpy", requirements_txt="scipy") == Sourced(("numpy",), "request", [])


def test_metadata_with_dependencies_wins_over_the_project() -> None:
    assert found(INLINE, requirements_txt="scipy").source == "script metadata"
    none = found("# /// script\n# dependencies = []\n# ///\n", requirements_txt="scipy")
    assert (none.requirements, none.source) == ((), "script metadata")
    silent = f'# /// script\n# requires-python = ">={OWN}"\n# ///\n'
    assert found(silent, requirements_txt="scipy") == Sourced(("scipy",), "requirements.txt", [])


def test_project_files_are_chosen_by_distance_and_kind() -> None:
    pyproject = '[project]\nname = "x"\ndependencies = ["pandas", "rich"]\n'
    assert found(path="jobs/train.py", jobs__requirements_txt="a", requirements_txt="b") == Sourced(
        ("a",), "jobs/requirements.txt", []
    )
    assert found(path="jobs/train.py", requirements_txt="b", jobs__pyproject_toml=pyproject).source == "requirements.txt"
    assert found(path="jobs/train.py", pyproject_toml=pyproject) == Sourced(("pandas", "rich"), "pyproject.toml", [])
    assert found(pyproject_toml="[tool.ruff]\nline-length = 100\n") == Sourced()


def test_requirements_file_with_common_lines_is_read() -> None:
    text = "\ufeff# ours\nnumpy >= 2 ; python_version > '3'  # why\n\n-r more/base_txt\npandas \\\n  >=2\n"
    assert found(requirements_txt=text.replace("_txt", ".txt"), more__base_txt="scipy\r\nrich\r\n").requirements == (
        "numpy >= 2 ; python_version > '3'",
        "scipy",
        "rich",
        "pandas    >=2",
    )


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("numpy\n\nscipy==\n", "in requirements.txt, line 3: 'scipy==' is not a requirement"),
        ("--index-url https://x\n", "in requirements.txt, line 1: '--index-url https://x' names where packages come from"),
        ("numpy==1 --global-option=x\n", "line 1: 'numpy==1 --global-option=x' carries pip's option --global-option"),
        ("-e .\n", "in requirements.txt, line 1: '-e .' installs a project from its directory"),
        ("-r nope.txt\n", "in requirements.txt, line 1: there is no 'nope.txt' in the project"),
        ("-r ../../etc/passwd\n", "in requirements.txt, line 1: there is no '../../etc/passwd' in the project"),
        ("\n-r requirements.txt\n", "in requirements.txt, line 2: 'requirements.txt' includes itself"),
        ("x @ file:///etc/passwd\n", "names a file of the machine that wrote it"),
        ("numpy\nx @ /etc\n", "in requirements.txt, line 2: 'x @ /etc' names a file or directory"),
        (
            "numpy\nx @ http://index.test/x.whl\n",
            "in requirements.txt, line 2: 'x @ http://index.test/x.whl' has an http:// address",
        ),
        ("a\n" * 1001, "has more than 1000 requirements"),
    ],
)
def test_unsupported_lines_are_refused(text: str, detail: str) -> None:
    [error] = errors(found(requirements_txt=text))
    assert detail in error


def chain(levels: int, *, times: int = 1) -> dict[str, ProjectFile]:
    """``requirements.txt`` and as many further files. Each includes the next one the given number of times."""
    names = ["requirements.txt", *(f"r{level}.txt" for level in range(levels))]
    texts = [f"-r {below}\n" * times for below in names[1:]] + ["numpy\n"]
    return {name: ProjectFile(name, text.encode()) for name, text in zip(names, texts, strict=True)}


def test_file_that_is_included_repeatedly_is_read_once() -> None:
    # Without that, the last file would be read 2**49 times.
    assert find_requirements((), b"", "train.py", chain(49, times=2)) == Sourced(("numpy",), "requirements.txt", [])


def test_too_deep_includes_are_refused() -> None:
    [error] = errors(find_requirements((), b"", "train.py", chain(1500)))
    assert error == "in r48.txt, line 1: 'r49.txt' is included more than 50 levels deep; use fewer files"


def test_reading_stops_at_the_limit_of_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(sources, "requirement_problem", lambda line, _: looked_at.append(line))
    assert "has more than 1000 requirements" in errors(found(requirements_txt="numpy\n" * 5000))[0]
    assert len(looked_at) == 1001
    wrong = errors(found(pyproject_toml=f"[project]\ndependencies = {['numpy'] * 5000}"))
    assert ("has more than 1000 requirements" in wrong[0], len(wrong), len(looked_at)) == (True, 1, 1001)


def test_wrong_lines_count_against_the_limit() -> None:
    assert "has more than 1000 requirements" in errors(found(requirements_txt="-e .\n" * 5000))[0]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_too_large_requirements_file_is_refused(name: str) -> None:
    files = {name: ProjectFile(name, b"#" * (1024 * 1024 + 1))}
    [error] = errors(find_requirements((), b"", "train.py", files))
    assert error == f"in {name}, line 1: has 1048577 bytes; a file that names requirements may have 1048576"


def test_undecodable_requirements_file_is_refused() -> None:
    files = {"requirements.txt": ProjectFile("requirements.txt", b"numpy\n\xff\n")}
    assert errors(find_requirements((), b"", "train.py", files)) == [
        "in requirements.txt, line 2: is not UTF-8; save it as UTF-8"
    ]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('[project]\ndependencies = [\n  "ok",\n  "no good",\n]\n', "in pyproject.toml, line 4: 'no good' is not"),
        ("[project]\ndependencies = 3\n", "line 2: dependencies must be a list of strings"),
        ('[project]\ndependencies = [\n"a"\n"b"]\n', "in pyproject.toml, line 4: is not TOML"),
        ('[project]\nrequires-python = ">=4"\ndependencies = []\n', "line 2: requires Python >=4; the platform has 3."),
    ],
)
def test_errors_of_a_pyproject_are_named(text: str, detail: str) -> None:
    [error] = errors(found(pyproject_toml=text))
    assert detail in error


@pytest.mark.parametrize(
    ("block", "detail"),
    [
        ('# requires-python = ">=4"', "in train.py, line 3: requires Python >=4; the platform has 3."),
        ('# requires-python = "new"', "in train.py, line 3: requires-python is 'new', which is no version specifier"),
        ("# requires-python = 3", "line 3: requires-python is 3"),
        ('# dependencies = [\n#  "ok",\n#  "!!"]', "in train.py, line 5: '!!' is not a requirement"),
        ("# dependencies = [", "in train.py, line 3: is not TOML"),
    ],
)
def test_errors_of_metadata_are_named(block: str, detail: str) -> None:
    [error] = errors(found(f"'''doc'''\n# /// script\n{block}\n# ///\n"))
    assert detail in error


def test_requires_python_of_metadata_always_counts() -> None:
    assert errors(found('# /// script\n# requires-python = ">=4"\n# ///\n', "numpy"))


def test_two_metadata_blocks_are_refused() -> None:
    assert errors(found(INLINE + "\n" + INLINE)) == [
        "in train.py, line 12: opens a second block of script metadata; there may be one"
    ]


def test_metadata_blocks_are_found_as_in_the_pep() -> None:
    text = "# /// other\n# a\n# ///\n# b\n# ///\n# /// script\n# never closed\nx = 1\n    # /// script\n    # ///\n"
    assert [(block.kind, block.content) for block in metadata_blocks(text)] == [("other", "a\n///\nb")]


def test_script_with_many_open_blocks_is_read_quickly() -> None:
    started = time.process_time()
    assert not list(metadata_blocks("# /// script\n" * 80_000))
    assert time.process_time() - started < 10  # The regular expression of the PEP takes an hour.


def test_project_file_with_hashes_in_utf_16_is_read() -> None:
    raw = "-r more.txt\r\nhumanize==4.9.0 --hash=sha256:58\r\n".encode("utf-16")
    files = {"requirements.txt": ProjectFile("requirements.txt", raw), "more.txt": ProjectFile("more.txt", b"rich")}
    sourced = find_requirements((), b"", "train.py", files)
    assert (sourced.requirements, len(sourced.notes), errors(sourced)) == (("rich", "humanize==4.9.0"), 1, [])


HTTP = "x @ http://index.test/x.whl"
BLOCK = f'# /// script\n# dependencies = ["{HTTP}"]\n# ///\n'


@pytest.mark.parametrize(
    "way", ["request", "script metadata", "requirements.txt", "pyproject.toml", "notebook", "uploaded file"]
)
def test_http_addresses_need_an_allowed_host_however_they_arrive(way: str) -> None:
    def problems(hosts: Collection[str]) -> list[str]:
        if way == "uploaded file":
            return read_uploaded("r.txt", HTTP.encode(), hosts)[1]
        if way == "notebook":
            return [error.detail for error in with_packages(Sourced(), [HTTP], hosts).errors]
        contents = {"requirements.txt": HTTP, "pyproject.toml": f'[project]\ndependencies = ["{HTTP}"]\n'}
        files = {way: ProjectFile(way, contents[way].encode())} if way in contents else None
        script = BLOCK.encode() if way == "script metadata" else b""
        given = [HTTP] if way == "request" else []
        return [error.detail for error in find_requirements(given, script, "train.py", files, hosts).errors]

    [problem] = problems(())
    assert "has an http:// address" in problem
    assert problems({"index.test"}) == []

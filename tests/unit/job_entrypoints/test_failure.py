from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable

import pytest

from job_entrypoints.script.failure import describe


def _raised(step: Callable[[], object]) -> BaseException:
    try:
        step()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def _with_notes() -> BaseException:
    error = ValueError("bad row")
    error.add_note("row 17")
    return error


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("target column 'churn' not found"), "ValueError: target column 'churn' not found"),
        (KeyError("churn"), "KeyError: 'churn'"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (MemoryError(), "MemoryError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (_with_notes(), "ValueError: bad row row 17"),
        (
            ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
            "ExceptionGroup: several (2 sub-exceptions) [ValueError: a; TypeError: b]",
        ),
        (ExceptionGroup("many", [ValueError(str(n)) for n in range(7)]), "2 more]"),
        (subprocess.CalledProcessError(2, "x"), "subprocess.CalledProcessError: Command 'x' returned"),
        (SystemExit("accuracy 0.4 < 0.8"), "accuracy 0.4 < 0.8"),
        (SystemExit(("a", 1)), "('a', 1)"),
    ],
)
def test_message_has_type_and_text_of_the_exception(error: BaseException, said: str) -> None:
    assert said in (describe(error, "train.py", project=True) or "")


@pytest.mark.parametrize("code", [None, 0, 3, True])
def test_exit_code_without_a_text_gives_no_message(code: object) -> None:
    assert describe(SystemExit(code), "train.py", project=False) is None


def test_exception_without_a_text_gives_its_type() -> None:
    assert (describe(Odd(), "train.py", project=False) or "").endswith("Odd")


def test_missing_module_hints_at_requirements_and_projects() -> None:
    error = _raised(lambda: __import__("no_such_module"))
    alone = describe(error, "/attempt/source/train.py", project=False) or ""
    assert "No module named 'no_such_module'" in alone
    assert "--requirements" in alone
    assert "raylift train . --entrypoint train.py" in alone
    in_a_project = describe(error, "train.py", project=True) or ""
    assert "--requirements" in in_a_project
    assert "--entrypoint" not in in_a_project
    of_a_package = describe(_raised(lambda: __import__("json.nothing")), "train.py", project=False) or ""
    assert "The installed json does not have it" in of_a_package


def test_missing_file_hints_at_projects() -> None:
    relative = _raised(lambda: open("data/churn.csv"))  # noqa: PTH123, SIM115
    assert "raylift train . --entrypoint train.py" in (describe(relative, "train.py", project=False) or "")
    assert ".rayliftignore" in (describe(relative, "train.py", project=True) or "")
    absolute = _raised(lambda: open("/no/such/file.csv"))  # noqa: PTH123, SIM115
    assert "machine of the platform" in (describe(absolute, "train.py", project=False) or "")
    grouped = ExceptionGroup("loading", [relative])  # type: ignore[list-item]
    assert "--entrypoint" in (describe(grouped, "train.py", project=False) or "")


def test_missing_program_does_not_hint_at_projects() -> None:
    error = _raised(lambda: subprocess.run(["no-such-program"], check=True))
    assert "--entrypoint" not in (describe(error, "train.py", project=False) or "")


def test_magic_of_a_notebook_is_named() -> None:
    error = _raised(lambda: eval("get_ipython()", {}))
    said = describe(error, "train.py", project=False) or ""
    assert "get_ipython" in said
    assert "notebook" in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOENT])
def test_path_outside_of_a_sandbox_names_the_setting(number: int) -> None:
    error = OSError(number, "closed", "/data/table.csv")
    assert "jobs.readable_paths" in (describe(error, "train.py", project=False, sandboxed=True) or "")
    assert "sandbox" not in (describe(error, "train.py", project=False) or "")


def test_refused_port_names_the_sandbox() -> None:
    error = PermissionError(13, "Permission denied")
    assert "refuses ports" in (describe(error, "train.py", project=False, sandboxed=True) or "")

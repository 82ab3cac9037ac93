from __future__ import annotations

import pytest

from raylift.services.uploads.script_warnings import script_warnings
from raylift.services.uploads.syntax_versions import other_version


def warnings(script: str, *requirements: str, paths: tuple[str, ...] = ()) -> list[str]:
    return script_warnings(script.encode(), "train.py", paths, requirements)


def test_undefined_names_are_told_once_with_their_first_line() -> None:
    script = "def train(x):\n    return model.fit(x, lable)\n\n\ntrain(1)\nprint(lable)\n"
    assert warnings(script) == ["train.py, line 2: model is not defined.", "train.py, line 2: lable is not defined."]


def test_missing_modules_are_told_with_the_package_to_add() -> None:
    script = "import os\nimport numpy as np\nimport cv2\nfrom not_a_module_of_ours.x import y\nos, np, cv2, y\n"
    assert warnings(script) == [
        "train.py, line 3: cv2 is not in the base environment. Add opencv-python-headless to the requirements.",
        "train.py, line 4: not_a_module_of_ours is not in the base environment. Add not_a_module_of_ours to the requirements.",
    ]
    assert warnings(script, "opencv-python-headless>=4", "Not-a.module_of-ours==1") == []
    (other,) = warnings("import brings_me\nbrings_me", "something==1.0")
    assert "no requirement has its name" in other


@pytest.mark.parametrize(
    "script",
    [
        "try:\n    import not_there\nexcept ImportError:\n    not_there = None\nnot_there",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import not_there\n    not_there",
        "import sys\nsys.path.append('/data/code')\nimport not_there\nnot_there",
        "import subprocess\nsubprocess.run(['pip', 'install', 'not-there'])\nimport not_there\nnot_there",
        "import pkg.part\nimport beside\nfrom . import x\npkg, beside, x",
        "from os.path import *\nprint(join('a', 'b'))",
        "display(get_ipython())\n__file__\n__name__",
        "not python at all ?",
    ],
)
def test_what_may_be_meant_so_is_no_warning(script: str) -> None:
    assert warnings(script, paths=("pkg/part.py", "lib/beside.py")) == []


def test_many_warnings_are_counted() -> None:
    found = warnings("\n".join(f"name_{number}" for number in range(14)))
    assert (len(found), found[-1]) == (11, "4 more warnings of this kind.")


def test_imports_of_functions_count() -> None:
    assert len(warnings("def f():\n    import not_there\n    return not_there\n")) == 1


@pytest.mark.parametrize(
    ("message", "line", "expected"),
    [
        ("Missing parentheses in call to 'print'. Did you mean print(...)?", "print x", "this is Python 2"),
        ("invalid syntax", "type Row = dict[str, int]", "need Python 3.12"),
        ("expected '('", "def first[T](x: list[T]) -> T:", "need Python 3.12"),
        ("invalid syntax", "x = t'{a}'", "need Python 3.14"),
        ("invalid syntax", "x = = 1", None),
        ("invalid syntax", "result'", None),
    ],
)
def test_code_for_another_python_is_recognized(message: str, line: str, expected: str | None) -> None:
    found = other_version(message, line)
    assert (found is None) is (expected is None)
    if expected is not None:
        assert expected in (found or "")
        assert "jobs run on Python 3." in (found or "")

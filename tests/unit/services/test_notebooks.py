from __future__ import annotations

import json
from typing import Any

import pytest

from job_entrypoints.script import notebook as wrapper
from raylift.services.uploads.magics import translate_cell, translate_exported
from raylift.services.uploads.notebooks import Notebook, read_notebook


def code(source: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": [], "metadata": {}, "execution_count": None}


def book(*cells: Any, **changes: Any) -> bytes:
    found = [cell if isinstance(cell, dict) else code(cell) for cell in cells]
    return json.dumps({"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **changes}).encode()


def read(content: bytes) -> Notebook:
    return read_notebook(content, "a.ipynb", field_name="script_content")


def problem(content: bytes) -> str:
    (error,) = read(content).errors
    return error.detail


def run(content: bytes) -> dict[str, Any]:
    made = read(content)
    assert not made.errors
    names: dict[str, Any] = {}
    exec(wrapper.compile_notebook(made.script, "runner.py"), names)
    return names


@pytest.fixture(autouse=True)
def _hook(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def test_code_cells_run_in_order_and_other_cells_do_not() -> None:
    prose = {"cell_type": "markdown", "source": "%run x"}
    raw = {"cell_type": "raw", "source": "!rm -rf /"}
    names = run(book(["a = 1\n", "b = a + 1"], prose, raw, "", "c = b + 1"))
    assert (names["a"], names["b"], names["c"]) == (1, 2, 3)


def test_notebook_of_nbformat_3_is_read() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"], "language": "python"}]}]}
    assert run(json.dumps({"metadata": {"name": ""}, "nbformat": 3, **old}).encode())["y"] == 2


def test_traceback_names_the_cell_and_its_line() -> None:
    content = book("import os", {"cell_type": "markdown", "source": "x"}, "def f():\n    return 1 / 0\n", "\nf()")
    with pytest.raises(ZeroDivisionError) as raised:
        run(content)
    frames = [(frame.path, frame.lineno + 1) for frame in raised.traceback if "cell" in str(frame.path)]
    assert [(str(path), line) for path, line in frames] == [("a.ipynb cell 3", 2), ("a.ipynb cell 2", 2)]


def test_script_is_plain_python_with_its_future_imports() -> None:
    made = read(book("from __future__ import annotations", "def f(x: Nothing): pass\nn = f.__annotations__['x']"))
    assert (
        run(book("from __future__ import annotations", "def f(x: Nothing): pass\nn = f.__annotations__['x']"))["n"] == "Nothing"
    )
    assert b"# %% a.ipynb cell 2" in made.script
    names = run(book("display(1, 2)"))
    assert callable(names["display"])


def test_pip_install_lines_become_requirements() -> None:
    made = read(
        book(
            "%pip install -q humanize 'rich>=13'  # why\n!pip3 install -U pandas > /dev/null\n",
            "if True:\n    !python -m pip install polars\n    x = 1",
        )
    )
    assert (made.errors, made.packages) == ([], ["humanize", "rich>=13", "pandas", "polars"])


def test_display_magics_are_removed() -> None:
    shown = ["%matplotlib inline", "%config InlineBackend.figure_format = 'retina'", "%load_ext autoreload", "%autoreload 2"]
    cell = "\n".join([*shown, "len?", "?len", "len??", "x = 1"])
    assert run(book(cell))["x"] == 1


def test_timing_magics_run_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("OF_A_NOTEBOOK", raising=False)
    names = run(book("%%time\nx = 1\n%time y = x + 1\n%env OF_A_NOTEBOOK=b c\n"))
    assert (names["y"], os.environ["OF_A_NOTEBOOK"]) == (2, "b c")


def test_lines_that_only_look_like_magics_are_kept() -> None:
    cell = 'x = (7\n% 4)\ns = """\n!ls\n%run x\nwhat?\n"""\ny = 9 \\\n% 5\nt = "100%"'
    names = run(book(cell))
    assert (names["x"], names["s"], names["y"], names["t"]) == (3, "\n!ls\n%run x\nwhat?\n", 4, "100%")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["x = 1", "y = 2\n%run other.py"], "cell 2, line 2: '%run other.py' is a magic"),
        (["%%bash\nls"], "cell 1, line 1: '%%bash' is a magic of the whole cell"),
        (["\n\n%%writefile x.py\nx = 1"], "cell 1, line 3: "),
        (["!ls -l"], "use subprocess.run"),
        (["files = !ls"], "subprocess.run"),
        (["n = %timeit -o f()"], "cell 1, line 1"),
        (["%pip install -r requirements.txt"], "has the option -r"),
        (["!pip install x && ls"], "runs more than pip"),
        (["%conda install x"], "use %pip install"),
        (["x = 1\n%%time"], "first line"),
        (["x = 1", "\ndef broken(:"], "cell 2, line 2: does not compile"),
        (["await f()"], "cell 1, line 1"),
    ],
)
def test_unsupported_magic_names_cell_and_line(cells: list[str], words: str) -> None:
    assert words in problem(book(*cells))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b'{"cells": [}', "not JSON: Expecting value, line 1, column 12"),
        (b"[1]", "not a JSON object"),
        (b"{}", "no list of cells"),
        (b"\xff\xfe", "not UTF-8"),
        (book(), "no code cells"),
        (book({"cell_type": "markdown", "source": "x"}), "no code cells"),
        (book(code(3)), "source of code cell 1 is no text"),
        (book("x", metadata={"language_info": {"name": "R"}}), "its language is R"),
        (book("x", metadata={"kernelspec": {"language": "julia"}}), "its language is julia"),
        (b"[" * 100_000, "not"),
    ],
)
def test_malformed_notebook_is_refused(content: bytes, words: str) -> None:
    assert words in problem(content)


def test_thousands_of_magic_like_lines_are_refused() -> None:
    assert "too many magics" in str(translate_cell("?x\n" * 5000).problems)


def test_exported_script_is_treated_the_same() -> None:
    source = (
        "# In[1]:\nget_ipython().run_line_magic('matplotlib', 'inline')\n"
        "get_ipython().run_line_magic('pip', 'install humanize')\nget_ipython().system('pip install -q rich')\n"
        "if IN_COLAB:\n    get_ipython().system('nvidia-smi')\n"
        "get_ipython().run_cell_magic('time', '', 'x = 1\\ny = x + 1\\n')\n"
    )
    made = translate_exported(source)
    assert (made.problems, made.packages) == ([], ["humanize", "rich"])
    assert made.lines[1] == "pass"
    assert "nvidia-smi" in made.lines[5]
    names: dict[str, Any] = {"IN_COLAB": False}
    exec("\n".join(made.lines), names)
    assert names["y"] == 2
    (refused,) = translate_exported("import os\nget_ipython().run_line_magic('run', 'x.py')").problems
    assert refused[0] == 2
    assert "get_ipython() runs a notebook's magic: '%run x.py'" in refused[1]

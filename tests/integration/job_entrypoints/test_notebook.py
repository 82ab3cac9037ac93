"""The script of a notebook in an interpreter of its own, as the wrapper starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from job_entrypoints.attempt.record import Attempt
from job_entrypoints.script import runner as script_runner
from raylift.services.uploads.notebooks import read_notebook


def run(tmp_path: Path, *sources: str) -> subprocess.CompletedProcess[str]:
    content = json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]}).encode()
    made = read_notebook(content, "analysis.ipynb", field_name="script_content")
    assert not made.errors
    script = tmp_path / "analysis.ipynb.py"
    script.write_bytes(made.script)
    runner = str(Path(script_runner.__file__))
    told = Attempt(str(tmp_path), {"job_id": "job_1", "script": script.name, "autolog": False}).hook_instructions()
    return subprocess.run([sys.executable, runner, "0", told, str(script)], capture_output=True, text=True, cwd=tmp_path)


def test_traceback_names_cells_and_shows_their_lines(tmp_path: Path) -> None:
    ended = run(tmp_path, "def f(x):\n    return 1 / x\n", "print('before')\nf(0)")
    assert (ended.returncode, ended.stdout) == (1, "before\n")
    lines = ended.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "analysis.ipynb cell 2", line 2, in <module>'
    assert "    f(0)" in lines
    assert '  File "analysis.ipynb cell 1", line 2, in f' in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "script_runner" not in ended.stderr


def test_child_processes_find_definitions_of_cells(tmp_path: Path) -> None:
    pool = (
        "if __name__ == '__main__':\n"
        "    import multiprocessing\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [1, 2]))"
    )
    ended = run(tmp_path, "def double(x):\n    return 2 * x", pool)
    assert (ended.stdout, ended.returncode) == ("[2, 4]\n", 0), ended.stderr

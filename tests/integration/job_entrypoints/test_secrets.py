"""Secrets of a script: in its environment, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.integration.job_entrypoints.conftest import Result

VALUE = "hunter2-hunter2"
SECRET = {"environment": {"PASSWORD": VALUE, "PLAIN": "visible"}, "masked": ["PASSWORD"]}


def test_value_is_masked_in_output_and_failure(run: Callable[..., Result]) -> None:
    result = run(
        """
        import os, sys
        print("value", os.environ["PASSWORD"], os.environ["PLAIN"], len(os.environ["PASSWORD"]))
        sys.stdout.write(os.environ["PASSWORD"][:7]); sys.stdout.flush()
        sys.stdout.write(os.environ["PASSWORD"][7:] + chr(10)); sys.stdout.flush()
        raise RuntimeError("cannot log in with " + os.environ["PASSWORD"])
        """,
        **SECRET,
    )
    log = result.output
    assert f"value *** visible {len(VALUE)}\n***\n" in log
    assert "RuntimeError: cannot log in with ***" in log
    assert result.progress["message"] == "RuntimeError: cannot log in with ***"
    for path in result.directory.rglob("*"):
        if path.is_file():
            assert VALUE.encode() not in path.read_bytes(), path


def test_variables_leave_the_file_before_the_script_starts(run: Callable[..., Result]) -> None:
    result = run(
        """
        import json, os, pathlib
        found = json.loads((pathlib.Path.cwd().parent / "attempt.json").read_text())
        print("in file:", found["environment"], found["script"])
        """,
        **SECRET,
    )
    assert "in file: {} my_model.py" in result.output
    record: dict[str, Any] = json.loads((result.directory / "attempt.json").read_text())
    assert record["environment"] == {}

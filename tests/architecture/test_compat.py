"""``make compat`` names packages and tests that exist."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[2]
COMPAT: Final = ROOT / ".ci" / "compat.py"


def test_compat_runs_tests_that_exist() -> None:
    texts = [node.value for node in ast.walk(ast.parse(COMPAT.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)]
    tests = [text for text in texts if isinstance(text, str) and text.startswith("tests/")]
    assert tests
    assert not [test for test in tests if not (ROOT / test).exists()]


def test_compat_knows_ray_and_mlflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    server = {Requirement(line).name: Requirement(line).specifier for line in project["optional-dependencies"]["server"]}
    for engine, releases in {"ray": ["2.60.0"], "mlflow": ["3.17.2", "3.18.0"]}.items():
        assert f'"{engine}": (' in COMPAT.read_text(encoding="utf-8")
        assert all(release in server[engine] for release in releases)

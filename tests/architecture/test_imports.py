"""Weight of imports: packages that a process must not load. import-linter holds the contracts between modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"ray", "mlflow", "sqlalchemy", "alembic", "fastapi", "starlette", "numpy", "pandas", "sklearn", "psutil", "yaml"}
WRAPPER_MAY_USE = {"numerics.py": {"threadpoolctl"}}


def loaded_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tests")
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("statement", ["import raylift", "from raylift import Client", "import raylift.cli.app"])
def test_client_loads_no_server_package(statement: str) -> None:
    assert not loaded_after(statement) & HEAVY


def test_wrapper_uses_the_standard_library_only() -> None:
    # Not even mlflow_hooks imports MLflow: it receives the modules that the script has imported.
    for path in (ROOT / "job_entrypoints").rglob("*.py"):
        foreign = imported(path) - set(sys.stdlib_module_names) - {"job_entrypoints", "__future__"}
        assert foreign <= WRAPPER_MAY_USE.get(path.name, set()), f"{path.name} imports {foreign}"


def imported(path: Path) -> set[str]:
    """Packages that a file imports, at the top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_private_names_of_ray_are_in_one_room_only() -> None:
    private = ("ray._private", "ray.serve._private", "ray._raylet", "ray.dashboard")
    room = ROOT / "platform" / "raylift" / "ray_internals"
    for package in ("platform/raylift", "serve_apps", "job_entrypoints"):
        for path in (ROOT / package).rglob("*.py"):
            if room not in path.parents:
                found = [name for name in private if name in path.read_text(encoding="utf-8")]
                assert not found, f"{path} names {found}: move it to raylift.ray_internals and docs/internals/ray_internals.md"

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

import raylift
from job_entrypoints.tracking.model_requirements import process_requirements

LOADED = (hypothesis, raylift)
"""The scripts below import it."""


def _requirements(tmp_path: Path, source: str, fallback: tuple[str, ...] = (), lock: tuple[str, ...] = ()) -> list[str]:
    script = tmp_path / "my_model.py"
    script.write_text(source)
    return process_requirements(fallback, lock, str(script))


def test_packages_that_the_script_imports_are_pinned(tmp_path: Path) -> None:
    found = _requirements(
        tmp_path, "import os, json\nimport hypothesis.strategies as st\nfrom pytest import raises\nimport not_loaded"
    )
    assert f"hypothesis=={version('hypothesis')}" in found
    assert f"pytest=={version('pytest')}" in found
    assert not [line for line in found if line.startswith(("os", "json", "not"))]


def test_platform_is_no_requirement(tmp_path: Path) -> None:
    assert "raylift" not in str(
        _requirements(tmp_path, "import raylift, job_entrypoints", fallback=("mlflow==3.17.2", "ray==2.60.0"))
    )


def test_pins_of_the_flavour_and_the_lock_are_kept(tmp_path: Path) -> None:
    found = _requirements(
        tmp_path,
        "import pytest",
        fallback=("pytest==1.2.3",),
        lock=("hypothesis @ file:///x.whl", "never-installed==1", "Pytest==9"),
    )
    assert "pytest==1.2.3" in found
    assert "hypothesis @ file:///x.whl" in found
    assert not [line for line in found if line.startswith(("never-installed", "Pytest"))]


def test_imports_of_modules_next_to_the_script_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_script.py").write_text("import hypothesis")
    monkeypatch.syspath_prepend(str(tmp_path))
    import beside_the_script  # pyright: ignore[reportMissingImports, reportUnusedImport]  # noqa: F401

    assert f"hypothesis=={version('hypothesis')}" in _requirements(tmp_path, "import beside_the_script")


def test_imports_of_other_modules_of_the_project_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    script = tmp_path / "jobs" / "fit.py"
    script.write_text("import above_the_script")
    (tmp_path / "above_the_script.py").write_text("import hypothesis")
    monkeypatch.syspath_prepend(str(tmp_path))
    import above_the_script  # pyright: ignore[reportMissingImports, reportUnusedImport]  # noqa: F401

    wanted = f"hypothesis=={version('hypothesis')}"
    assert wanted in process_requirements((), (), str(script), str(tmp_path))
    assert wanted not in process_requirements((), (), str(script))


def test_module_names_are_mapped_to_distributions(tmp_path: Path) -> None:
    import dateutil.parser
    import yaml

    assert dateutil.parser
    assert yaml
    found = _requirements(tmp_path, "import dateutil.parser, yaml")
    assert f"python-dateutil=={version('python-dateutil')}" in found
    assert f"pyyaml=={version('pyyaml')}" in [line.lower() for line in found]


def test_changed_or_deleted_script_is_no_error(tmp_path: Path) -> None:
    assert isinstance(process_requirements((), (), str(tmp_path / "gone.py")), list)
    assert isinstance(_requirements(tmp_path, "def broken(:"), list)

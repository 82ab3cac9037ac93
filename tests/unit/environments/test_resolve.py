from __future__ import annotations

import pickle
import subprocess
from importlib.metadata import version

import pytest

from raylift.domain.job import Reason
from raylift.engines.environments.errors import EnvironmentBuildFailed, EnvironmentUnresolvable, build_failure_in
from raylift.engines.environments.locking.resolve import resolve


@pytest.fixture(autouse=True)
def no_subprocess(monkeypatch) -> None:
    def refuse(*_args, **_options) -> None:
        raise AssertionError("a subprocess was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.mark.parametrize(
    "requirements",
    [
        [],
        ["ray"],
        ["numpy", "scikit-learn>=1", "pandas"],
        [f"ray[serve]=={version('ray')}"],
        ["absent; python_version<'3'"],
    ],
)
def test_requirement_of_the_base_needs_no_resolution(requirements: list[str]) -> None:
    assert resolve(requirements) == ()


@pytest.mark.parametrize("requirement", ["ray==2.9.0", "Ray<2", "ray[serve]==1.0", "ray @ https://example.org/ray.whl"])
def test_another_ray_is_refused_with_both_versions(requirement: str) -> None:
    with pytest.raises(EnvironmentUnresolvable) as failure:
        resolve(["humanize", requirement])
    assert requirement.lower() in failure.value.detail.lower()
    assert f"ray=={version('ray')}" in failure.value.detail


@pytest.mark.parametrize("line", ["-r other.txt", "--index-url https://example.org", "./folder", "a b", ""])
def test_options_are_refused_as_requirements(line: str) -> None:
    with pytest.raises(EnvironmentUnresolvable, match="PEP 508"):
        resolve([line])


@pytest.mark.parametrize("kind", [EnvironmentUnresolvable, EnvironmentBuildFailed])
def test_errors_are_pickled(kind) -> None:
    error = pickle.loads(pickle.dumps(kind("no", lock=("a==1",))))
    assert (type(error), error.detail, error.facts, error.code) == (kind, "no", {"lock": ("a==1",)}, Reason.ENVIRONMENT_ERROR)


def test_our_message_is_found_in_ray_s_report() -> None:
    report = (
        "runtime_env setup failed: Failed to set up.\n[Node 10.0.0.1] Traceback (most recent call last):\n  File x\n"
        "raylift.engines.environments.errors.EnvironmentBuildFailed: The environment of a==1 could not be built: no wheel\n\n"
    )
    assert build_failure_in(report) == "The environment of a==1 could not be built: no wheel"
    assert build_failure_in("ValueError: something else") is None

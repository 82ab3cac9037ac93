from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from raylift.engines.environments import base
from raylift.engines.environments.base import base_site_directories, satisfies_base


@pytest.fixture
def installed(monkeypatch, make_distribution):
    """A base environment with a few distributions of the test."""

    def install(*metadata: str) -> None:
        dists = {dist.metadata["Name"]: dist for dist in map(make_distribution, metadata)}
        monkeypatch.setattr(base, "base_distribution", dists.get)

    return install


def test_site_directories_contain_the_imported_packages() -> None:
    assert any((directory / "packaging").is_dir() for directory in base_site_directories())


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("frame", True),
        ("frame>=2", True),
        ("frame>=2,<3", True),
        ("frame<2", False),
        ("absent", False),
        ("frame @ https://example.org/frame.whl", False),
        ("frame[fast]", True),
        ("frame[slow]", False),
        ("frame[fast,slow]", False),
        ("frame[all]", False),
        ("frame[everything-twice]", True),
    ],
)
def test_requirement_is_satisfied_by_the_base(installed, requirement: str, expected: bool) -> None:
    installed(
        "Name: frame\nVersion: 2.5\nRequires-Dist: engine>=1; extra == 'fast'\nRequires-Dist: absent; extra == 'slow'\n"
        "Requires-Dist: frame[fast,slow]; extra == 'all'\nRequires-Dist: frame[everything-twice]; extra == 'everything-twice'\n"
        "Requires-Dist: absent; python_version < '3' and extra == 'fast'",
        "Name: engine\nVersion: 1.0",
    )
    assert satisfies_base(Requirement(requirement)) is expected


def test_pre_release_in_the_base_satisfies_a_requirement(installed) -> None:
    installed("Name: frame\nVersion: 3.0rc1")
    assert satisfies_base(Requirement("frame>=2"))

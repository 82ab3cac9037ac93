from __future__ import annotations

import zipfile

import pytest
from packaging.requirements import Requirement

from raylift.engines.environments.locking.frozen_base import FrozenBase
from raylift.engines.environments.locking.metadata_wheels import needs_metadata_wheel, write_metadata_wheel


@pytest.fixture
def base(make_distribution) -> FrozenBase:
    dists = [
        make_distribution("Name: numpy\nVersion: 2.4"),
        make_distribution("Name: pandas\nVersion: 3.1\nRequires-Dist: numpy>=2"),
        make_distribution("Name: scipy\nVersion: 1.17\nRequires-Dist: numpy>=1.26"),
        make_distribution("Name: already-broken\nVersion: 1\nRequires-Dist: numpy<1"),
        make_distribution("Name: setuptools\nVersion: 65"),
        make_distribution("Name: torch\nVersion: 2.9.0+cpu\nRequires-Dist: numpy>=2"),
        make_distribution(
            "Name: ray\nVersion: 2.60.0\nRequires-Dist: protobuf>=3.20\nRequires-Dist: click\n"
            "Requires-Dist: fastapi>=0.133; extra == 'serve'\nRequires-Dist: torch>9; extra == 'tune'"
        ),
    ]
    return FrozenBase({dist.metadata["Name"]: dist for dist in dists})


def _pins(*lines: str) -> list[Requirement]:
    return [Requirement(line) for line in lines]


def test_constraints_do_not_pin_installers(base: FrozenBase) -> None:
    assert "numpy==2.4" in base.constraints()
    assert "setuptools==65" not in base.constraints()
    assert "setuptools==65" in base.pins()


def test_limits_come_from_the_installed_ray(base: FrozenBase) -> None:
    assert base.limits_of_ray() == ["ray==2.60.0", "protobuf>=3.20", "fastapi>=0.133"]
    assert FrozenBase({}).limits_of_ray() == []


def test_packages_that_an_older_package_breaks_are_found(base: FrozenBase) -> None:
    assert base.broken_by(_pins("numpy==1.26.4")) == ["pandas"]
    assert base.broken_by(_pins("numpy==1.26.4", "pandas==2.3")) == []
    assert base.broken_by(_pins("numpy==2.4", "humanize==4.9")) == []
    assert base.broken_by(_pins("numpy @ https://example.org/numpy.whl")) == []


def test_metadata_wheels_cover_packages_that_no_index_has(base: FrozenBase) -> None:
    def names(*, no_index: bool) -> set[str]:
        return {dist.metadata["Name"] for dist in base.not_on_index(no_index=no_index)}

    assert names(no_index=False) == {"torch"}
    assert names(no_index=True) == set(base.distributions) - {"setuptools"}


def test_editable_install_needs_a_metadata_wheel(make_distribution) -> None:
    dist = make_distribution("Name: mine\nVersion: 1")
    assert not needs_metadata_wheel(dist)
    (dist._path / "direct_url.json").write_text("{}")
    assert needs_metadata_wheel(dist)


def test_metadata_wheel_has_metadata_only(make_distribution, tmp_path) -> None:
    dist = make_distribution(
        "Name: My.Torch\nVersion: 2.9.0+cpu\nRequires-Dist: numpy>=2\nRequires-Python: >=3.9\nHome-page: x"
    )
    wheel = write_metadata_wheel(dist, tmp_path)
    assert wheel.name == "my_torch-2.9.0+cpu-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("my_torch-2.9.0+cpu.dist-info/METADATA").decode()
        assert len(archive.namelist()) == 3
    assert "Requires-Dist: numpy>=2\n" in text
    assert "Requires-Python: >=3.9\n" in text
    assert "Home-page" not in text

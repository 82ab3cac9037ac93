from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.environments.private_ray import Cluster, private_ray


@pytest.fixture(scope="session")
def make_wheel() -> Callable[..., Path]:
    """Write a wheel of one module, ``VERSION`` in it, and of one console script."""

    def make(name: str, version: str, *requires: str, folder: Path, weight: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        wheel = folder / f"{module}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{module}.py", f"VERSION = {version!r}\ndef main():\n    print({version!r})\n")
            needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-say = {module}:main\n")
            archive.writestr(f"{module}_weight.bin", os.urandom(weight))
            archive.writestr(f"{info}/RECORD", "")
        return wheel

    return make


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("UV_CACHE_DIR", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "environments"


@pytest.fixture
def wheels(tmp_path: Path, make_wheel: Callable[..., Path]) -> Callable[..., Path]:
    return partial(make_wheel, folder=tmp_path / "wheels")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with private_ray() as found:
        yield found

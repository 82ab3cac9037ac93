from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.environments.private_ray import Cluster, private_ray


@pytest.fixture(scope="session")
def make_wheel() -> Callable[..., Path]:
    """Write a wheel with one module, which has ``VERSION``, and one console script."""

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


_BACKEND = """
import os, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "{name}-{version}-py3-none-any.whl"
    info = "{name}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("{name}.py", "")
        archive.writestr("{name}.bin", os.urandom({weight}))
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return name
"""


@pytest.fixture
def sdist(tmp_path: Path) -> Callable[..., Path]:
    """Write a source distribution with ``source`` bytes that builds a wheel of ``weight`` bytes."""

    def make(name: str, version: str, *, source: int, weight: int) -> Path:
        files = {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": _BACKEND.format(name=name, version=version, weight=weight).encode(),
            "data.bin": os.urandom(source),
        }
        (tmp_path / "wheels").mkdir(exist_ok=True)
        path = tmp_path / "wheels" / f"{name}-{version}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file, content in files.items():
                entry = tarfile.TarInfo(f"{name}-{version}/{file}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return path

    return make


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with private_ray() as found:
        yield found

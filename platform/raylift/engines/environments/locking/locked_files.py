"""Files of a lock: their URLs and sizes according to the package index."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from raylift.domain.job import AUTO_TORCH_BACKEND
from raylift.engines.environments.uv.commands import run_uv
from raylift.engines.environments.uv.process import Cancelled

_SECONDS: Final = 60.0
PYTORCH_HOST: Final = "pytorch.org"
"""Domain of PyTorch's own indexes, one per build. A local version label such as ``+cpu`` is not enough to recognize their
files: triton and the wheels for macOS have none."""


@dataclass(frozen=True, slots=True)
class LockedFile:
    """The wheel of one pin, or its source distribution where it has none."""

    name: str
    url: str | None
    size: int | None
    """Bytes; None where the index does not have it."""
    sha256: str | None = None


def build_options(torch_backend: str) -> list[str]:
    """Return uv's options for the build; none for the build of the platform's own index.

    uv's ``auto`` is not used, because it looks for a GPU on the resolving machine instead of the job's node.
    """
    return [] if torch_backend == AUTO_TORCH_BACKEND else ["--torch-backend", torch_backend]


def files_of(
    pins: Sequence[str], *, cache_dir: Path | None, torch_backend: str, cancelled: Cancelled = lambda: False
) -> list[LockedFile]:
    """List the files that an installation of ``pins`` downloads on this machine.

    Raises:
        InstallerFailure: the index does not answer, or lacks a pin.
    """
    with tempfile.TemporaryDirectory(prefix="raylift-lock-") as name:
        lock = Path(name) / "pylock.toml"
        options = (*build_options(torch_backend), "--format", "pylock.toml", "--output-file", str(lock))
        run_uv(
            ["pip", "compile", "-", "--no-deps", "--python", sys.executable, *options],
            stdin="\n".join(pins) + "\n",
            cache_dir=cache_dir,
            timeout=_SECONDS,
            cancelled=cancelled,
            writes=[Path(name)],
        )
        packages: list[dict[str, Any]] = tomllib.loads(lock.read_text()).get("packages", [])
    return [_file(package) for package in packages]


def _file(package: dict[str, Any]) -> LockedFile:
    # uv has left out the wheels of other machines.
    file: dict[str, Any] = next(iter(package.get("wheels") or ()), None) or package.get("sdist") or package.get("archive") or {}
    hashes: dict[str, str] = file.get("hashes") or {}
    return LockedFile(package["name"], file.get("url"), file.get("size"), hashes.get("sha256"))

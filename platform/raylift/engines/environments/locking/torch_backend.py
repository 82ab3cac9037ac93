"""Builds of PyTorch and their packages for CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from raylift.domain.job import AUTO_TORCH_BACKEND

INDEX_HOST: Final = "pytorch.org"
"""Domain of PyTorch's own indexes, one per build. A local version label such as ``+cpu`` is not enough to recognize their
files: triton and the wheels for macOS have none."""
_CUDA: Final = ("nvidia-", "cuda-", "triton")
"""Name prefixes of packages that only a GPU needs."""


def options_of(torch_backend: str) -> list[str]:
    """Return uv's options for the build; none for the build of the platform's own index.

    uv's ``auto`` is not used, because it looks for a GPU on the resolving machine instead of the job's node.
    """
    return [] if torch_backend == AUTO_TORCH_BACKEND else ["--torch-backend", torch_backend]


def cuda_packages(lock: Sequence[str]) -> list[str]:
    """Return the names in ``lock`` that only PyTorch on a GPU needs; none where PyTorch is not in it."""
    names = [canonicalize_name(Requirement(pin).name) for pin in lock]
    return [name for name in names if name.startswith(_CUDA)] if "torch" in names else []

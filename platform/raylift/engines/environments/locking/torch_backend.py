"""PyTorch's builds: which package index they come from, and a word before needless gigabytes of CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from raylift.domain.job import AUTO_TORCH_BACKEND

INDEX_HOST: Final = "pytorch.org"
"""The domain of PyTorch's own indexes, one for each build."""
_CUDA: Final = ("nvidia-", "cuda-", "triton")
"""Beginnings of the names of packages that only a GPU needs."""


def options_of(torch_backend: str) -> list[str]:
    """The options of uv that choose the build; none leaves it to the platform's own index.

    Not uv's ``auto``: that looks for a GPU on the machine that resolves, which need not be the one that the job runs on.
    """
    return [] if torch_backend == AUTO_TORCH_BACKEND else ["--torch-backend", torch_backend]


def cuda_packages(lock: Sequence[str]) -> list[str]:
    """The names in ``lock`` that PyTorch brings along for GPUs; none where PyTorch is not in it."""
    names = [canonicalize_name(Requirement(pin).name) for pin in lock]
    return [name for name in names if name.startswith(_CUDA)] if "torch" in names else []

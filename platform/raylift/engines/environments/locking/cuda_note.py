"""Note for users whose environment downloads CUDA packages on a cluster without a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from raylift.domain.quantities import format_bytes
from raylift.engines.environments.locking.locked_files import LockedFile, files_of
from raylift.engines.environments.overlays.overlay import download_cache, is_built, overlay_directory
from raylift.engines.environments.uv.commands import InstallerFailure
from raylift.engines.environments.uv.process import Cancelled

_LOG: Final = logging.getLogger(__name__)
_CUDA: Final = ("nvidia-", "cuda-", "triton")
"""Name prefixes of packages that only a GPU needs."""


def cuda_note(lock: Sequence[str], *, cache_dir: Path, torch_backend: str, cancelled: Cancelled = lambda: False) -> str | None:
    """Return the note for a cluster without a GPU; None where ``lock`` has no CUDA packages of PyTorch."""
    needless = _cuda_packages(lock)
    if not needless:
        return None
    try:
        files = files_of(lock, cache_dir=cache_dir, torch_backend=torch_backend, cancelled=cancelled)
    except InstallerFailure as failure:
        # The build reports the same failure with details.
        _LOG.info("the sizes of %s could not be looked up: %s", ", ".join(needless), failure.message)
        files = []
    return (
        f"PyTorch brings {len(needless)} packages for CUDA along{_size(files, frozenset(needless))}, "
        "and the cluster has no GPU. `torch_backend: cpu` takes PyTorch without them."
    )


def missing_gpu_note(
    lock: Sequence[str],
    root: Path,
    *,
    has_gpus: Callable[[], bool],
    torch_backend: str,
    cancelled: Cancelled = lambda: False,
) -> str | None:
    """Return the sentence of ``cuda_note`` for an environment below ``root`` that is not built yet.

    None where it is built, or where ``has_gpus``, which is asked about the cluster, returns True.
    """
    if not lock or is_built(overlay_directory(lock, root)) or has_gpus():
        return None
    return cuda_note(lock, cache_dir=download_cache(root), torch_backend=torch_backend, cancelled=cancelled)


def _size(files: Sequence[LockedFile], needless: frozenset[str]) -> str:
    sizes = {file.name: file.size for file in files if file.size is not None}
    if not sizes.keys() >= needless:
        return " (gigabytes; the package index does not say how many)"
    cuda, whole = sum(sizes[name] for name in needless), sum(sizes.values())
    return f" ({format_bytes(cuda)} of {format_bytes(whole)} to be downloaded)"


def _cuda_packages(lock: Sequence[str]) -> list[str]:
    names = [canonicalize_name(Requirement(pin).name) for pin in lock]
    return [name for name in names if name.startswith(_CUDA)] if "torch" in names else []

"""A sentence for users who are about to download CUDA packages that no GPU will use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from raylift.domain.quantities import format_bytes
from raylift.engines.environments.locking.locked_files import LockedFile, files_of
from raylift.engines.environments.locking.torch_backend import cuda_packages
from raylift.engines.environments.overlays.overlay import download_cache, is_built, overlay_directory
from raylift.engines.environments.uv.commands import InstallerFailure
from raylift.engines.environments.uv.process import Cancelled

_LOG: Final = logging.getLogger(__name__)


def cuda_note(lock: Sequence[str], *, cache_dir: Path, torch_backend: str, cancelled: Cancelled = lambda: False) -> str | None:
    """The sentence, for a cluster without a GPU; None where ``lock`` has no CUDA packages beside PyTorch."""
    needless = cuda_packages(lock)
    if not needless:
        return None
    try:
        files = files_of(lock, cache_dir=cache_dir, torch_backend=torch_backend, cancelled=cancelled)
    except InstallerFailure as failure:
        # The build will say the same, and more.
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

"""Reports the arithmetic of a process: its NumPy, and the BLAS kernels that were chosen for its processor.

The process that trains a model records it, and a replica compares: two kernels may round differently.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def numerics() -> dict[str, Any]:
    """Report this process's NumPy version and BLAS kernels; {} if NumPy is not imported.

    ``{"numpy": "2.4.6", "blas": [{"name": "openblas", "version": "0.3.31", "architecture": "SkylakeX", "of": "numpy"}]}``.
    A package may bring its own BLAS: ``of`` is that package, or null for a library of the system. Without threadpoolctl,
    which scikit-learn brings, ``blas`` is empty.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return {}
    return {"numpy": numpy.__version__, "blas": _kernels()}


def _kernels() -> list[dict[str, str | None]]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return sorted(
        (
            {
                "name": library["internal_api"],
                "version": library.get("version"),
                "architecture": library.get("architecture"),
                "of": _package_of(library["filepath"]),
            }
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ),
        key=str,
    )


def _package_of(path: str) -> str | None:
    """``numpy`` of ``…/site-packages/numpy.libs/libopenblas.so``: wheels carry their libraries beside them."""
    folder = path.rpartition("/")[0].rpartition("/")[2]
    return folder.removesuffix(".libs") if folder.endswith(".libs") else None

"""Compares the arithmetic of a version's training with the replica's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_NAMES: Final[Mapping[str, str]] = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}


def other_numerics(trained: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Describe how the replica's NumPy or BLAS kernels differ from the training's.

    Args:
        trained: Record of job_entrypoints/tracking/numerics.py from the script; {} without one.
        here: The same record of this process.

    Returns:
        A sentence; None if they are equal, as far as both are known.
    """
    if not trained or not here:
        return None
    packages = {kernel["of"] for kernel in trained["blas"]}
    if trained["numpy"] == here["numpy"] and all(_same(trained["blas"], here["blas"], package) for package in packages):
        return None
    return (
        f"It was trained with {_in_words(trained)}; this replica computes with {_in_words(here)}. Answers may differ in their "
        "last digits. docs/guides/environments.md, The same arithmetic, says which variables choose the kernels."
    )


def _same(trained: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]], package: str | None) -> bool:
    """Compare the kernels of one package. A process that has loaded fewer of them uses those."""
    ours, theirs = ([kernel for kernel in kernels if kernel["of"] == package] for kernels in (here, trained))
    return all(kernel in theirs for kernel in ours) or all(kernel in ours for kernel in theirs)


def _in_words(numerics: Mapping[str, Any]) -> str:
    """``NumPy 2.4.6, OpenBLAS 0.3.31 for SkylakeX (numpy's)``."""
    return ", ".join((f"NumPy {numerics['numpy']}", *map(_kernel, numerics["blas"])))


def _kernel(kernel: Mapping[str, Any]) -> str:
    words = [_NAMES.get(kernel["name"], kernel["name"]), kernel["version"] or ""]
    words += [f"for {kernel['architecture']}"] if kernel["architecture"] else []
    words += [f"({kernel['of']}'s)"] if kernel["of"] else []
    return " ".join(filter(None, words))

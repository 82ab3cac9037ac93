from __future__ import annotations

from typing import Any

from serve_apps.model_server.loading.numerics import other_numerics


def kernel(architecture: str, of: str | None = "numpy", version: str = "0.3.31") -> dict[str, Any]:
    return {"name": "openblas", "version": version, "architecture": architecture, "of": of}


def numerics(*blas: dict[str, Any], numpy: str = "2.4.6") -> dict[str, Any]:
    return {"numpy": numpy, "blas": list(blas)}


def test_equal_numerics_give_no_note() -> None:
    assert other_numerics(numerics(kernel("Zen")), numerics(kernel("Zen"))) is None


def test_other_kernel_is_named_with_the_one_at_training() -> None:
    said = other_numerics(numerics(kernel("Zen"), numpy="2.2.1"), numerics(kernel("SkylakeX"), numpy="2.2.1"))
    assert said is not None
    assert "trained with NumPy 2.2.1, OpenBLAS 0.3.31 for Zen (numpy's)" in said
    assert "computes with NumPy 2.2.1, OpenBLAS 0.3.31 for SkylakeX (numpy's)" in said


def test_other_numpy_or_kernel_version_is_named() -> None:
    assert other_numerics(numerics(numpy="2.2.1"), numerics(numpy="2.4.6")) is not None
    assert other_numerics(numerics(kernel("Zen")), numerics(kernel("Zen", version="0.3.20"))) is not None


def test_libraries_that_only_one_process_has_loaded_are_not_compared() -> None:
    trained = numerics(kernel("Zen"), kernel("Zen", of="scipy", version="0.3.30"))
    assert other_numerics(trained, numerics(kernel("Zen"))) is None
    assert other_numerics(numerics(kernel("Zen")), trained) is None
    assert other_numerics(trained, numerics(kernel("Zen"), kernel("Haswell", of="scipy", version="0.3.30"))) is not None


def test_unknown_numerics_give_no_note() -> None:
    assert other_numerics({}, numerics(kernel("Zen"))) is None
    assert other_numerics(numerics(), numerics(kernel("Zen"))) is None

"""Converts rows for flavours of MLflow without a signature: to a frame, a list, or an array of a dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd


def form_of(loader_module: str | None, raw: Any) -> Callable[[Any], Any]:
    """Conversion of an array for the flavour; other inputs stay unchanged."""
    make = _FORMS.get(loader_module or "")
    if make is None:
        return _as_it_is
    form = make(raw)

    def formed(batch: Any) -> Any:
        return form(batch) if isinstance(batch, np.ndarray) and batch.ndim else batch

    return formed


def _as_it_is(batch: Any) -> Any:
    return batch


def _frame(raw: Any) -> Callable[[Any], Any]:
    return lambda array: pd.DataFrame(array.reshape(len(array), -1))


def _list(raw: Any) -> Callable[[Any], Any]:
    return lambda array: array.reshape(-1).tolist() if array.ndim == 1 or array.shape[1:] == (1,) else array


def _numbers_of_pytorch(network: Any) -> Callable[[Any], Any]:
    """Conversion of numbers to the network's dtype, as MLflow converts a frame."""
    import torch  # pyright: ignore[reportMissingImports] - of the model's environment

    layers = network.modules() if isinstance(network, torch.nn.Module) else ()
    layer = next((layer for layer in layers if next(layer.parameters(recurse=False), None) is not None), None)
    weights = None if layer is None else next(layer.parameters(recurse=False))
    if weights is None or not weights.is_floating_point() or weights.dtype == torch.bfloat16:
        return _as_it_is
    dtype = torch.empty(0, dtype=weights.dtype).numpy().dtype
    # Inputs of an embedding are indices.
    kinds = "f" if isinstance(layer, (torch.nn.Embedding, torch.nn.EmbeddingBag)) else "fiub"
    return lambda array: array.astype(dtype) if array.dtype.kind in kinds else array


_FORMS: Final[Mapping[str, Callable[[Any], Callable[[Any], Any]]]] = {
    "mlflow.spacy": _frame,
    "mlflow.transformers": _list,
    "mlflow.sentence_transformers": _list,
    "mlflow.pytorch": _numbers_of_pytorch,
}

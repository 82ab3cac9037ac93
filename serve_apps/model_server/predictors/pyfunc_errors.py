"""Tells which errors of a Python function its inputs explain, and how to ask instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from raylift.domain.errors import FieldError
from serve_apps.model_server.error_text import said
from serve_apps.model_server.errors import InputsRefused

_BY_NAME: Final = re.compile(
    r"only integers, slices|numpy\.ndarray' object has no attribute|'list' object has no attribute"
    r"|list indices must be integers|string indices must be integers|too many indices|DataFrame"
)
"""Errors of NumPy and Python to code that wants a frame."""
_UNDEFINED: Final = re.compile(r"name '([^']+)' is not defined")
_NO_ATTRIBUTE: Final = re.compile(r"'DataFrame' object has no attribute '([^']+)'")
_NOT_IN_INDEX: Final = re.compile(r"\[(.+?)\] not (?:found )?in index|None of \[(?:Index\()?(.+?)\] are in the \[columns\]")
_GONE: Final = frozenset({"append", "iteritems", "ix", "lookup", "applymap", "swapaxes", "as_matrix"})
"""Methods that frames had once: code that calls them is wrong, not its inputs."""
_QUOTED: Final = re.compile(r"'([^']+)'")
_FITS_NOT: Final = re.compile(r"shape|size|dimension|dtype|type|expected|invalid|mismatch|feature|column|input", re.IGNORECASE)
_FAULTS: Final = (MemoryError, OSError, ImportError, RecursionError, SystemError, NotImplementedError, AssertionError)


def refusal(error: Exception, batch: Any, *, is_of_library: bool) -> InputsRefused | None:
    """The refusal that an error of the model amounts to, with a hint; None where it is the model's own failure."""
    chain = list(_chain(error))
    names = [str(name) for name in batch.columns] if isinstance(batch, pd.DataFrame) else None
    if names is None and not isinstance(batch, dict) and _wants_names(chain, batch, is_of_library=is_of_library):
        hint = 'This model wants its columns by name: write records or columns ({"inputs": {"name": [value, …]}}), not rows.'
        return InputsRefused(f"The model did not take rows without names. {hint} {said(error)}", [FieldError("inputs", hint)])
    missing = [name for link in chain for name in _missing(link, is_of_library=is_of_library)]
    if names is not None and missing and missing[0] not in names:
        column = missing[0]
        listed = ", ".join(names)
        return InputsRefused(
            f"The model did not take these inputs. It asks for {column}, which is none of their columns ({listed}). "
            f"{said(error)}",
            [FieldError(f"inputs.{column}", "the model asks for it, and there is no such column")],
        )
    if is_of_library and _is_explained(error):
        return InputsRefused(f"The model did not take these inputs. {said(error)}", [FieldError("inputs", said(error))])
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _wants_names(chain: list[BaseException], batch: Any, *, is_of_library: bool) -> bool:
    if not isinstance(batch, (np.ndarray, list)):
        return False
    kinds = (IndexError, AttributeError, TypeError)
    if any(isinstance(link, kinds) and _BY_NAME.search(str(link)) for link in chain):
        return True
    return is_of_library and any(isinstance(link, NameError) and _UNDEFINED.search(str(link)) for link in chain)


def _missing(error: BaseException, *, is_of_library: bool) -> list[str]:
    """Names of columns that an error says are not there."""
    text = str(error)
    if isinstance(error, KeyError):
        listed = _NOT_IN_INDEX.search(text)
        if listed is not None:
            return _QUOTED.findall(listed[1] or listed[2])
        # pandas raises it from another one; a dict does not, and may have been looked up for a value.
        return [key for key in error.args if isinstance(key, str)] if isinstance(error.__cause__, KeyError) else []
    found = _UNDEFINED.search(text) if isinstance(error, NameError) and is_of_library else None
    found = _NO_ATTRIBUTE.search(text) if isinstance(error, AttributeError) else found
    if found is None or found[1] in _GONE or hasattr(pd.Series, found[1]):
        return []
    return [found[1]]


def _is_explained(error: Exception) -> bool:
    """Tell whether inputs may explain what a library raised: it has answered others."""
    text = str(error)
    if isinstance(error, _FAULTS) or "out of memory" in text.lower():
        return False
    # PyTorch and ONNX Runtime have RuntimeError for shapes and dtypes, and for all else.
    return not isinstance(error, RuntimeError) or _FITS_NOT.search(text) is not None

"""Tells errors of a Python function that wrong inputs explain from the function's own failures, with a hint for the client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import InputsRefused, describe_error

_BY_NAME: Final = re.compile(
    r"only integers, slices|numpy\.ndarray' object has no attribute|'list' object has no attribute"
    r"|list indices must be integers|string indices must be integers|too many indices|DataFrame"
)
"""Errors of NumPy and Python in code that expects a frame."""
_UNDEFINED: Final = re.compile(r"name '([^']+)' is not defined")
_NO_ATTRIBUTE: Final = re.compile(r"'DataFrame' object has no attribute '([^']+)'")
_NOT_IN_INDEX: Final = re.compile(r"\[(.+?)\] not (?:found )?in index|None of \[(?:Index\()?(.+?)\] are in the \[columns\]")
_GONE: Final = frozenset({"append", "iteritems", "ix", "lookup", "applymap", "swapaxes", "as_matrix"})
"""Removed methods of frames: code that calls them is wrong, not its inputs."""
_QUOTED: Final = re.compile(r"'([^']+)'")
_FITS_NOT: Final = re.compile(
    r"shape|size|dimension|dtype|type|expected|invalid|mismatch|feature|column|input|not implemented for|must match|broadcast",
    re.IGNORECASE,
)
_FAULTS: Final = (MemoryError, OSError, ImportError, RecursionError, SystemError)
_UNSPECIFIC: Final = (RuntimeError, AssertionError)
"""Errors for wrong shapes and dtypes, and for everything else. NotImplementedError is a RuntimeError."""
_OF_LIBRARIES: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def refusal(
    error: Exception,
    batch: Any,
    *,
    is_of_library: bool,
    has_signature: bool = True,
    refusals: tuple[type[Exception], ...] = (),
) -> InputsRefused | None:
    """Convert an error of the model to a refusal of its inputs; None if it is the model's own failure.

    Args:
        error: Error of the model.
        batch: Its inputs.
        is_of_library: True if a library's flavour predicts, False for a user's code.
        has_signature: True if the model has a signature, so that dtypes and columns are known.
        refusals: Errors that wrong inputs always explain.
    """
    chain = list(_chain(error))
    names = [str(name) for name in batch.columns] if isinstance(batch, pd.DataFrame) else None
    if names is None and not isinstance(batch, dict) and _wants_names(chain, batch, is_of_library=is_of_library):
        hint = 'This model wants its columns by name: write records or columns ({"inputs": {"name": [value, …]}}), not rows.'
        return InputsRefused(
            f"The model did not take rows without names. {hint} {describe_error(error)}", [FieldError("inputs", hint)]
        )
    missing = [name for link in chain for name in _missing(link, is_of_library=is_of_library)]
    if names is not None and missing and missing[0] not in names:
        column = missing[0]
        listed = ", ".join(names)
        return InputsRefused(
            f"The model did not take these inputs. It asks for {column}, which is none of their columns ({listed}). "
            f"{describe_error(error)}",
            [FieldError(f"inputs.{column}", "the model asks for it, and there is no such column")],
        )
    if isinstance(error, refusals) or _is_explained(error, is_of_library=is_of_library):
        hint = "" if has_signature else f" {_without_signature(named=names is not None)}"
        return InputsRefused(
            f"The model did not take these inputs.{hint} {describe_error(error)}", [FieldError("inputs", describe_error(error))]
        )
    return None


def _without_signature(*, named: bool) -> str:
    columns = "" if named else 'Send columns by name ({"inputs": {"name": [value, …]}}), or log it with one: '
    log = columns or "Log it with one: "
    return f"It has no signature, so nothing says which shape and dtypes it takes. {log}mlflow.models.infer_signature."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
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
    """Names of columns that an error reports as missing."""
    text = str(error)
    if isinstance(error, KeyError):
        listed = _NOT_IN_INDEX.search(text)
        if listed is not None:
            return _QUOTED.findall(listed[1] or listed[2])
        # pandas raises it from another KeyError. A dict does not; its key may be a value.
        return [key for key in error.args if isinstance(key, str)] if isinstance(error.__cause__, KeyError) else []
    found = _UNDEFINED.search(text) if isinstance(error, NameError) and is_of_library else None
    found = _NO_ATTRIBUTE.search(text) if isinstance(error, AttributeError) else found
    if found is None or found[1] in _GONE or hasattr(pd.Series, found[1]):
        return []
    return [found[1]]


def _is_explained(error: Exception, *, is_of_library: bool) -> bool:
    """Tell whether inputs may explain an error. A library has answered other requests, so most of its errors do."""
    text = str(error)
    if isinstance(error, _FAULTS) or "out of memory" in text.lower():
        return False
    if is_of_library:
        return not isinstance(error, _UNSPECIFIC) or _FITS_NOT.search(text) is not None or not text
    # A user's function may be wrong itself, unless a library under it complains about shapes or dtypes.
    return (
        not isinstance(error, (AttributeError, NameError)) and _raised_in_library(error) and _FITS_NOT.search(text) is not None
    )


def _raised_in_library(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and any(folder in trace.tb_frame.f_code.co_filename for folder in _OF_LIBRARIES)

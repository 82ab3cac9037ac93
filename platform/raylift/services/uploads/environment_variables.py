"""The environment variables of an upload: which names a script may set, and which belong to the platform."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from raylift.domain.errors import FieldError

RESERVED_PREFIXES: Final = ("RAYLIFT_", "RAY_")
"""Variables by which the platform and Ray talk to the processes they start."""

RESERVED_NAMES: Final = frozenset(
    {
        # They tie the script to its job's run and registry.
        "MLFLOW_TRACKING_URI",
        "MLFLOW_REGISTRY_URI",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_RUN_ID",
        "MLFLOW_RUN_CONTEXT",
        "MLFLOW_ACTIVE_MODEL_ID",
        # They choose the interpreter and the packages, which is what `requirements` are for.
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        # Ray sets it to the GPUs the job was given.
        "CUDA_VISIBLE_DEVICES",
    }
)

MAX_ARGUMENT_BYTES: Final = 128 * 1024 - 1
"""Linux' limit of one argument or one NAME=value (MAX_ARG_STRLEN, its final null byte taken off)."""
MAX_TOTAL_BYTES: Final = 1024 * 1024
"""Of all arguments and variables together, well below Linux' own limit."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_reserved(name: str) -> bool:
    """Whether the platform keeps this variable to itself."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def check_variables(environment: Mapping[str, str]) -> Iterator[FieldError]:
    """What is wrong with each variable."""
    for name, value in environment.items():
        field = f"environment.{name}"
        if not _NAME.fullmatch(name):
            yield FieldError(field, "is not a variable's name: use letters, digits and underscores, not beginning with a digit")
        elif is_reserved(name):
            yield FieldError(field, "is set by the platform and cannot be set by a job")
        elif "\0" in value:
            yield FieldError(field, "holds a null byte")
        elif len(f"{name}={value}".encode()) > MAX_ARGUMENT_BYTES:
            yield FieldError(field, f"is longer than {MAX_ARGUMENT_BYTES} bytes, the most that Linux takes")


def check_arguments(args: Sequence[str]) -> Iterator[FieldError]:
    """What is wrong with each argument."""
    for index, value in enumerate(args):
        if "\0" in value:
            yield FieldError(f"args[{index}]", "holds a null byte")
        elif len(value.encode()) > MAX_ARGUMENT_BYTES:
            yield FieldError(f"args[{index}]", f"is longer than {MAX_ARGUMENT_BYTES} bytes, the most that Linux takes")


def check_total(args: Sequence[str], environment: Mapping[str, str]) -> Iterator[FieldError]:
    """Whether the script could be started with all of it."""
    total = sum(len(text.encode()) for text in args) + sum(len(f"{k}={v}".encode()) for k, v in environment.items())
    if total > MAX_TOTAL_BYTES:
        yield FieldError("args", f"and environment together have {total} bytes; at most {MAX_TOTAL_BYTES} are taken")

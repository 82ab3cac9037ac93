"""Checks of the environment variables, parameters and arguments of a script."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from raylift.domain.errors import FieldError

RESERVED_PREFIXES: Final = ("RAYLIFT_", "RAY_")
"""Variables that the platform and Ray set for the processes they start."""

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
        # They choose the interpreter and the packages, as `requirements` do.
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        # Ray sets it to the GPUs of the job.
        "CUDA_VISIBLE_DEVICES",
    }
)

MAX_ARGUMENT_BYTES: Final = 128 * 1024 - 1
"""Limit of Linux for one argument or one NAME=value: MAX_ARG_STRLEN without the final null byte."""
MAX_TOTAL_BYTES: Final = 1024 * 1024
"""Limit for all arguments and variables together, well below that of Linux."""
_MAX_PARAMS: Final = 100
"""MLflow's limit for one request."""
_MAX_PARAM_NAME: Final = 250
_MAX_PARAM_VALUE: Final = 6000
"""MLflow's limits, in characters."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_reserved(name: str) -> bool:
    """Return True where only the platform may set the variable."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def check_variables(environment: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield an error for each invalid variable."""
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
    """Yield an error for each invalid argument."""
    for index, value in enumerate(args):
        if "\0" in value:
            yield FieldError(f"args[{index}]", "holds a null byte")
        elif len(value.encode()) > MAX_ARGUMENT_BYTES:
            yield FieldError(f"args[{index}]", f"is longer than {MAX_ARGUMENT_BYTES} bytes, the most that Linux takes")


def check_total(args: Sequence[str], environment: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield an error where Linux could not start the script with all of it."""
    total = sum(len(text.encode()) for text in args) + sum(len(f"{k}={v}".encode()) for k, v in environment.items())
    if total > MAX_TOTAL_BYTES:
        yield FieldError("args", f"and environment together have {total} bytes; at most {MAX_TOTAL_BYTES} are taken")


def check_params(
    params: Mapping[str, str], environment: Mapping[str, str], swept: Collection[str] = ()
) -> Iterator[FieldError]:
    """Yield an error for each invalid parameter.

    Args:
        params: the parameters, as text.
        environment: the other variables of the upload.
        swept: names of the parameters of its sweep.
    """
    if len(params) > _MAX_PARAMS:
        yield FieldError("params", f"has {len(params)} parameters; at most {_MAX_PARAMS} are taken")
    for name, value in params.items():
        field = f"params.{name}"
        if name in environment:
            yield FieldError(field, "is in environment, too: give it in one place")
        elif name in swept:
            yield FieldError(field, "is in sweep.parameters, too: give it in one place")
        elif len(name) > _MAX_PARAM_NAME:
            yield FieldError(field, f"has a name of more than {_MAX_PARAM_NAME} characters, the most that MLflow keeps")
        elif len(value) > _MAX_PARAM_VALUE:
            yield FieldError(field, f"is longer than {_MAX_PARAM_VALUE} characters, the most that MLflow keeps of a param")
        else:
            yield from (FieldError(field, error.detail) for error in check_variables({name: value}))

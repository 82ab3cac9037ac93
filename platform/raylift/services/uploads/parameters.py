"""The ``params`` of an upload: values that are no secrets. The script finds them as environment variables, MLflow as params."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from raylift.api.sweeps import Value
from raylift.domain.errors import FieldError
from raylift.services.uploads.environment_variables import check_variables
from raylift.services.uploads.sweeps import text_of

_MAX_PARAMS: Final = 100
"""MLflow's limit of one request."""
_MAX_NAME: Final = 250
_MAX_VALUE: Final = 6000
"""MLflow's limits, in characters."""


def texts_of(params: Mapping[str, Value]) -> dict[str, str]:
    """Parameters as the script and MLflow get them: JSON's own words, and strings as they are."""
    return {name: text_of(value) for name, value in params.items()}


def check_params(
    params: Mapping[str, str], environment: Mapping[str, str], swept: Collection[str] = ()
) -> Iterator[FieldError]:
    """Yield what is wrong with each parameter.

    Args:
        params: the parameters.
        environment: the variables that the upload sets otherwise.
        swept: the names of its sweep.
    """
    if len(params) > _MAX_PARAMS:
        yield FieldError("params", f"has {len(params)} parameters; at most {_MAX_PARAMS} are taken")
    for name, value in params.items():
        field = f"params.{name}"
        if name in environment:
            yield FieldError(field, "is in environment, too: give it in one place")
        elif name in swept:
            yield FieldError(field, "is in sweep.parameters, too: give it in one place")
        elif len(name) > _MAX_NAME:
            yield FieldError(field, f"has a name of more than {_MAX_NAME} characters, the most that MLflow keeps")
        elif len(value) > _MAX_VALUE:
            yield FieldError(field, f"is longer than {_MAX_VALUE} characters, the most that MLflow keeps of a param")
        else:
            yield from (FieldError(field, error.detail) for error in check_variables({name: value}))

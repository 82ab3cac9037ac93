"""Parameters of a request, checked against the model's signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import NUMBERS, ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert
from serve_apps.model_server.inputs.signature import Parameter
from serve_apps.model_server.inputs.values import Mistyped


def checked_params(given: Any, declared: Sequence[Parameter], *, ignore_unknown: bool = False) -> dict[str, Any]:
    """The given parameters, completed with the declared defaults; empty for a model without parameters.

    Raises:
        WrongInputs: They are no object, one is not declared, or one has another type.
    """
    if not isinstance(given, dict):
        raise WrongInputs("params is not an object.", [FieldError("params", "wants an object")])
    known = {parameter.name: parameter for parameter in declared}
    errors: list[FieldError] = []
    if not ignore_unknown:
        takes = f"the model takes {', '.join(known)}" if known else "the model takes no parameters"
        errors += [FieldError(f"params.{name}", f"unexpected, {takes}") for name in given if name not in known]
    result: dict[str, Any] = {name: parameter.default for name, parameter in known.items() if name not in given}
    for name, parameter in known.items():
        if name in given:
            try:
                result[name] = _typed(given[name], parameter)
            except Mistyped as error:
                errors.append(FieldError(f"params.{name}", str(error).partition(";")[0]))
    if errors:
        details = "; ".join(f"{error.field} {error.detail}" for error in errors)
        raise WrongInputs(f"Wrong parameters: {details}.", errors)
    return result


def _typed(value: Any, parameter: Parameter) -> Any:
    if value is None or parameter.type is ColumnType.NESTED:
        return value
    if parameter.is_list != isinstance(value, list):
        raise Mistyped(f"wants {'a list' if parameter.is_list else 'one value'}")
    if parameter.type in (ColumnType.DATETIME, ColumnType.BINARY):
        return value  # MLflow converts these itself
    if parameter.type in NUMBERS and isinstance(value, bool):
        raise Mistyped("wants a number")
    converted = convert(value if parameter.is_list else [value], parameter.type)
    natives: list[Any] = converted if isinstance(converted, list) else converted.tolist()
    return natives if parameter.is_list else natives[0]

"""The parameters a request may pass to the model, as its signature declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert
from serve_apps.model_server.inputs.signature import Parameter
from serve_apps.model_server.inputs.values import Mistyped


def checked_params(given: Any, declared: tuple[Parameter, ...] | None, *, ignore_unknown: bool = False) -> dict[str, Any]:
    """The given parameters with the declared defaults filled in; none for a model that takes none.

    Raises:
        WrongInputs: They are no object, one is not declared, or one is of another type.
    """
    if not isinstance(given, dict):
        raise WrongInputs("params is not an object.", [FieldError("params", "wants an object")])
    known = {parameter.name: parameter for parameter in declared or ()}
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
        said = "; ".join(f"{error.field} {error.detail}" for error in errors)
        raise WrongInputs(f"Wrong parameters: {said}.", errors)
    return result


def defaults(declared: tuple[Parameter, ...] | None) -> Mapping[str, Any]:
    return {parameter.name: parameter.default for parameter in declared or ()}


def _typed(value: Any, parameter: Parameter) -> Any:
    if value is None or parameter.type is ColumnType.NESTED:
        return value
    if parameter.is_list != isinstance(value, list):
        raise Mistyped(f"wants {'a list' if parameter.is_list else 'one value'}")
    if parameter.type in (ColumnType.DATETIME, ColumnType.BINARY):
        return value  # MLflow reads these itself
    if parameter.type in (ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, ColumnType.INTEGER) and isinstance(value, bool):
        raise Mistyped("wants a number")
    converted = convert(value if parameter.is_list else [value], parameter.type)
    natives: list[Any] = converted if isinstance(converted, list) else converted.tolist()
    return natives if parameter.is_list else natives[0]

"""Decides the columns of a version once, from all records of its training.

The training table comes first, then the library's records, then the signature. Columns that only the signature has are accepted
and dropped; types that only the signature has are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.times import default_dtype
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.inputs.training_table import TrainedColumn, TrainingTable
from serve_apps.model_server.inputs.values import TEXT_DTYPE

_LISTED: Final = 5
_NUMBERS: Final = frozenset({"float64", "int64", "bool"})
_WIDER: Final[Mapping[ColumnType, frozenset[ColumnType]]] = {
    ColumnType.LONG: frozenset({ColumnType.INTEGER}),
    ColumnType.DOUBLE: frozenset({ColumnType.FLOAT}),
}
"""Signature types that agree with a narrower type of the table: MLflow has no int8 or uint32."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Columns in the order of training, and the differences of other sources."""

    columns: tuple[Column, ...]
    source: str
    ignored: frozenset[str] = frozenset()
    disagreements: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names of the training table's columns, mapped to the library's, if these differ."""


def resolve_columns(signed: Sequence[Column], features: Features, table: TrainingTable | None) -> Resolved:
    """Columns of a model with a native predictor.

    Args:
        signed: Columns of the signature; empty without one.
        features: The library's records.
        table: The training table; None for a model from elsewhere.

    Raises:
        UnknownTable: The sources do not say what the library needs.
    """
    by_name = {features.spelling(str(column.name)): column for column in signed if column.name is not None}
    trained = {features.spelling(str(column.name)): column for column in (table.columns if table is not None else ())}
    aliases = _aliases(features, table)
    if aliases:
        trained = {aliases[name]: column for name, column in trained.items()}
        by_name = {aliases.get(name, name): column for name, column in by_name.items()}
    is_whole = features.names is None or trained.keys() >= set(features.names)
    if table is not None and trained and is_whole:
        # infer_signature may have seen more columns than the model was trained on.
        names = features.names if features.names is not None and table.source != "training" else tuple(trained)
        columns = tuple(_trained_column(trained[name], by_name.get(name)) for name in names)
        if aliases:
            columns = tuple(replace(column, name=name, number=None) for column, name in zip(columns, names, strict=True))
        source = table.source
    else:
        records = features.records({name: column.type for name, column in by_name.items()})
        columns = tuple(_known_column(name, by_name.get(name), records.get(name)) for name in features.names or ())
        source = "model"
    wanted = [str(column.name) for column in columns]
    spelled = {features.spelling(name) for name in wanted} | aliases.keys()
    ignored = frozenset(str(column.name) for column in signed if features.spelling(str(column.name)) not in spelled)
    disagreements = () if aliases else tuple(_disagreements(signed, columns, ignored, features))
    return Resolved(columns, source, ignored, disagreements, aliases)


def _aliases(features: Features, table: TrainingTable | None) -> Mapping[str, str]:
    """Names of the table's columns, mapped to the library's; empty if they are the same, or their numbers differ.

    ``Dataset(frame, feature_name=[…])`` and ``DMatrix(frame, feature_names=[…])`` replace the frame's names.
    """
    if features.names is None or table is None or table.source != "training" or len(table.columns) != len(features.names):
        return {}
    names = [features.spelling(str(column.name)) for column in table.columns]
    return {} if set(names) & set(features.names) else dict(zip(names, features.names, strict=True))


def assumed(column: Column) -> Column:
    """A column that only the signature has, with the dtype of the installed pandas for text and dates."""
    trained = {
        ColumnType.STRING: TrainedColumn(column.label or "", TEXT_DTYPE, "nan", "string"),
        ColumnType.DATETIME: TrainedColumn(column.label or "", default_dtype, "NaT"),
    }.get(column.type or ColumnType.NESTED)
    return replace(column, trained=trained)


def _trained_column(trained: TrainedColumn, signed: Column | None) -> Column:
    if trained.dtype == "category" and trained.categories is None:
        # JSON cannot write categories of this kind.
        return Column(str(trained.name), None) if signed is None else assumed(signed)
    is_required = trained.missing is None and (signed is None or signed.required)
    return Column(
        name=str(trained.name),
        type=trained.type,
        required=is_required,
        number=trained.name if isinstance(trained.name, int) else None,
        trained=trained,
    )


def _known_column(name: str, signed: Column | None, known: TrainedColumn | None) -> Column:
    """A column of a model from elsewhere. The signature's number types are more exact: the library reads all as float64."""
    if known is not None and (signed is None or signed.type is None or known.dtype not in _NUMBERS):
        is_required = signed.required if signed is not None else True
        label = signed.name if signed is not None and signed.name is not None else name
        return Column(label, known.type, is_required, signed.number if signed is not None else None, trained=known)
    return Column(name, None) if signed is None else assumed(signed)


def _disagreements(
    signed: Sequence[Column], columns: Sequence[Column], ignored: frozenset[str], features: Features
) -> list[str]:
    if not signed:
        return []
    found: list[str] = []
    if ignored:
        found.append(f"the signature has columns that the model was not trained on: {_names(sorted(ignored))}")
    spelled = {features.spelling(str(column.name)): column for column in signed}
    wanted = [features.spelling(str(column.name)) for column in columns]
    absent = [str(column.name) for column, name in zip(columns, wanted, strict=True) if name not in spelled]
    if absent:
        found.append(f"the signature lacks columns that the model was trained on: {_names(absent)}")
    elif [name for name in spelled if name in set(wanted)] != wanted:
        found.append("the signature has the columns in another order than the model was trained on")
    found += [
        f"the signature says {signed_type} for the column {column.name}, the training {column.trained.dtype}"
        for column, name in zip(columns, wanted, strict=True)
        if column.trained is not None
        and name in spelled
        and (signed_type := spelled[name].type) is not None
        and not _agree(signed_type, column.type)
    ]
    return found


def _agree(signed: ColumnType, trained: ColumnType | None) -> bool:
    return trained is None or signed is trained or trained in _WIDER.get(signed, ())


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")

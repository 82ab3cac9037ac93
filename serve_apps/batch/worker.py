"""Process of a batch that scores items, each to a part of the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from raylift.domain.batches.batch import BatchSpec, OnError
from raylift.domain.batches.order import WORK_FOLDER, BatchOrder
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.inputs import model_columns
from serve_apps.batch.parts import Part, Parts, PartWriter
from serve_apps.batch.places import Place
from serve_apps.batch.plan import Item, Plan, input_place, require_unchanged
from serve_apps.batch.readers import Chunk, read
from serve_apps.batch.results import PREDICTION
from serve_apps.batch.scoring import Scored, Scorer
from serve_apps.model_server.loading.loader import load_copy
from serve_apps.model_server.model import Model

VERSION: Final = "model_version"
SCORED_AT: Final = "scored_at"
_REJECTED_VALUES: Final = 100
"""Columns of a rejected row that its record has."""


@dataclass(frozen=True, slots=True)
class Start:
    """Arguments of a process."""

    order: bytes
    plan: Plan
    model: str
    """Directory of the version's files."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows that were scored since the last message."""

    rows: int
    bytes: int


def work(start: Start, folder: Place, connection: Connection) -> None:
    """Score the items that come, until the other end closes. Sends ``Progress``, ``Part`` and ``BatchFailed``."""
    try:
        order = BatchOrder.of(start.order)
        model = load_copy(order.spec.model_name, order.spec.version, Path(start.model))
        parts = Parts(Path(order.directory) / WORK_FOLDER, folder, order.spec.output_format)
        worker = Worker(order, start.plan, model, parts, connection)
        while True:
            connection.send(worker.score(connection.recv()))
    except EOFError:
        return
    except BatchFailed as error:
        connection.send(error)
    except RuntimeError as error:
        connection.send(BatchFailed(str(error)))


class Worker:
    def __init__(self, order: BatchOrder, plan: Plan, model: Model, parts: Parts, connection: Connection) -> None:
        self._spec: BatchSpec = order.spec
        self._plan, self._model, self._parts, self._connection = plan, model, parts, connection
        self._source = input_place(order)
        self._scorer = Scorer(model, order.spec)
        self._for_model: dict[tuple[str, ...], list[str]] = {}

    def score(self, item: Item) -> Part:
        """Score an item, and write its part.

        Raises:
            BatchFailed: It cannot be done; the message says why.
        """
        file = self._plan.files[item.file]
        place = self._source.at(file.path)
        require_unchanged(place, file)
        writer = PartWriter(self._parts, item.number)
        for chunk in read(self._plan.format, place, item, self._columns):
            names = self._of_model(chunk.rows.schema.names)
            try:
                scored = self._scorer.score(chunk, names)
            except BatchFailed as error:
                raise BatchFailed(f"{place.shown}: {error}") from error
            writer.write(self._table(chunk, scored), chunk.count, list(self._rejected(place, chunk, scored)))
            self._connection.send(Progress(chunk.count, chunk.bytes))
        require_unchanged(place, file)
        return writer.close()

    def _columns(self, found: Sequence[str]) -> Sequence[str]:
        """Return the columns to read: those of the model, and those to keep."""
        wanted = {*self._of_model(found), *self._kept(found)}
        return [name for name in found if name in wanted]

    def _of_model(self, found: Sequence[str]) -> list[str]:
        key = tuple(found)
        if key not in self._for_model:
            self._for_model[key] = model_columns(self._model, found, self._spec.columns)
        return self._for_model[key]

    def _kept(self, found: Sequence[str]) -> Sequence[str]:
        keep = self._spec.keep
        if keep is None:
            return found
        if missing := [name for name in keep if name not in found]:
            raise BatchFailed(f"The input has no column {', '.join(missing)}, which --keep names.")
        return keep

    def _table(self, chunk: Chunk, scored: Scored) -> pa.Table | None:
        kept = chunk.rows.select(self._kept(chunk.rows.schema.names))
        pieces = list(self._pieces(kept, chunk, scored))
        if not pieces:
            return None
        table = pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces, promote_options="permissive")
        return self._stamped(table) if self._spec.stamp else table

    def _pieces(self, kept: pa.Table, chunk: Chunk, scored: Scored) -> Iterator[pa.Table]:
        """Yield neighbouring rows with their answers, in order; rejected ones without, where they are kept."""
        row = 0
        for answer in scored.answers:
            if answer.start > row and self._spec.on_error is OnError.NULL:
                yield _beside(kept.slice(row, answer.start - row), {PREDICTION: pa.nulls(answer.start - row)})
            yield _beside(kept.slice(answer.start, answer.end - answer.start), answer.columns)
            row = answer.end
        if chunk.count > row and self._spec.on_error is OnError.NULL:
            yield _beside(kept.slice(row), {PREDICTION: pa.nulls(chunk.count - row)})

    def _stamped(self, table: pa.Table) -> pa.Table:
        moment = datetime.fromisoformat(self._plan.started_at)
        columns = {
            VERSION: pa.repeat(pa.scalar(self._spec.version), table.num_rows),
            SCORED_AT: pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), table.num_rows),
        }
        return _beside(table, columns)

    def _rejected(self, place: Place, chunk: Chunk, scored: Scored) -> Iterator[Mapping[str, Any]]:
        """Yield a record for each rejected row: its place, the reason and its values."""
        for row, error in sorted(scored.rejected.items()):
            names = chunk.rows.schema.names[:_REJECTED_VALUES]
            if chunk.values is not None:
                values = {name: chunk.values[name][row] for name in names}
            else:
                values = {name: chunk.rows[name][row].as_py() for name in names}
            yield {"file": place.shown, "row": chunk.first_row + row, "error": error, "inputs": values}


def _beside(rows: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    taken = [name for name in columns if name in rows.schema.names]
    if taken:
        raise BatchFailed(
            f"The input has a column {taken[0]}, which the output has for itself. Name the columns to keep without it (--keep)."
        )
    names = [*rows.schema.names, *columns]
    return pa.table([*rows.columns, *columns.values()], names=names)

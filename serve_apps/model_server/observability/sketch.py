"""Sketches a sample of a version's inputs and answers: counters by the bins of its reference profile (docs/adr/0050).

The request path counts rows, and keeps the inputs of a few requests a second. A thread adds them to the sketch: the cost does
not grow with the load.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from raylift.domain.models.counters import ProcessKind
from raylift.domain.monitoring.reference import SEEN, Reference
from raylift.engines.metrics.counter_files import CounterFile, counters_directory
from raylift.engines.metrics.sketch_settings import SketchSettings, read_sketch_settings
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.tabular import Columns, Rows
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult
from serve_apps.model_server.observability.sketch_columns import Sampled, SketchCounters, tables_of

_log = logging.getLogger(__name__)

REQUESTS_A_SECOND: Final = 20
"""Requests that a process sketches in a second at most."""
ROWS_A_REQUEST: Final = 100
"""Rows of a request that are sketched at most: evenly spaced ones."""
_PAUSE_SECONDS: Final = 1.0


class Sketcher:
    """The sketch of a version in a process. ``offer`` may be called by several threads."""

    def __init__(self, model: Model, reference: Reference, process: ProcessKind, directory: Path) -> None:
        """Make the file of the sketch. Raises OSError where that is not possible."""
        self._model = model
        self._reference = reference
        self._process = process
        self._root = directory
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._sampled: list[tuple[Any, Any, int]] = []
        self._seen = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._settings = SketchSettings()
        self._counters = SketchCounters(reference)
        self._file = self._open()

    def offer(self, request: PredictionRequest, result: PredictionResult, rows: int) -> None:
        """Count the rows of an answered request, and sketch it if it is in the sample. Never waits."""
        with self._lock:
            self._seen += rows
            if len(self._sampled) >= REQUESTS_A_SECOND or not self._settings.enabled:
                return
            self._sampled.append((_short(request, rows), _some(result.predictions, rows), min(rows, ROWS_A_REQUEST)))
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="sketch", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Sketch what is sampled. Idempotent."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def flush(self) -> None:
        """Add what is sampled to the sketch. The thread does it every second."""
        with self._lock:
            sampled, self._sampled = self._sampled, []
            seen, self._seen = self._seen, 0
        with self._writing:
            self._follow_settings()
            if seen and self._settings.enabled:
                self._add([_sampled(self._model, *one) for one in sampled], seen)

    def _run(self) -> None:
        is_closing = False
        while not is_closing:
            is_closing = self._closing.wait(_PAUSE_SECONDS)
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - the model must go on answering
                _log.exception("%s version %s: requests of a second are not sketched", self._model.name, self._model.version)

    def _add(self, sampled: list[Sampled | None], seen: int) -> None:
        values = self._file.values
        values[self._counters.place(SEEN)] += seen
        for columns, answers, rows in tables_of(filter(None, sampled), self._names()):
            self._counters.add(columns, answers, rows, values)
        self._file.sync()

    def _names(self) -> tuple[str, ...] | None:
        """Names of the columns of arrays; None: their positions."""
        return None if self._model.reader is None else self._model.reader.names

    def _follow_settings(self) -> None:
        settings = read_sketch_settings(counters_directory(self._root, self._model.name, self._model.version))
        if settings == self._settings:
            return
        self._settings = settings
        counters = SketchCounters(self._reference, settings.segment_column)
        if counters.names != self._counters.names:
            # The names of a file's counters are fixed. The platform adds up both files.
            self._file.close()
            self._counters = counters
            self._file = self._open()

    def _open(self) -> CounterFile:
        return CounterFile(
            self._root,
            self._model.name,
            self._model.version,
            self._process,
            started_at=datetime.now(UTC),
            names=self._counters.names,
        )


def _short(request: PredictionRequest, rows: int) -> Any:
    """Return the request's inputs, of a long one some rows: what is kept until the thread has it must be small."""
    inputs = request.batch if request.raw is None else request.raw
    if isinstance(inputs, (Rows, Columns)):
        inputs = inputs.values
    return inputs if rows <= ROWS_A_REQUEST else _some(inputs, rows)


def _some(values: Any, rows: int) -> Any:
    """Return evenly spaced rows of values; None for values that are not one for each row."""
    step = -(-rows // ROWS_A_REQUEST)
    match values:
        case np.ndarray() | list() if len(values) == rows:
            return values if step == 1 else values[::step].copy()
        case pd.DataFrame() | pd.Series() if len(values) == rows:
            return values if step == 1 else values.iloc[::step].copy()
        case dict():
            return {name: _some(column, rows) for name, column in values.items()}
        case _:
            return None


def _sampled(model: Model, inputs: Any, answers: Any, rows: int) -> Sampled | None:
    """Return a request's rows as a table; None if its inputs are none."""
    if isinstance(answers, pd.Series):
        answers = answers.to_numpy()
    if not (isinstance(answers, list) or (isinstance(answers, np.ndarray) and answers.ndim == 1)):
        answers = None
    if isinstance(model.reader, ColumnReader) and not isinstance(inputs, (np.ndarray, pd.DataFrame)):
        columns = model.reader.columns_of(inputs)
        return None if columns is None else Sampled(columns, answers)
    is_table = isinstance(inputs, pd.DataFrame) or (isinstance(inputs, np.ndarray) and inputs.ndim == 2)
    return Sampled(inputs, answers) if is_table else None

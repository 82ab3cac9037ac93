"""Customers of the example: they ask the model's endpoint all day, and what came true is known on the next morning."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import count

import pandas as pd
from deliveries import FEATURES, TARGET

from raylift import Client, RayliftError

ROWS_OF_A_REQUEST = 25
PAUSE_SECONDS = 0.2

TrueValues = dict[str, dict[str, list[int]]]
"""By version and request id: a true value for each row."""


class Customers:
    """A thread that sends requests until ``stop``. It begins the day's rows again when all were asked."""

    def __init__(self, url: str, model: str, rows: pd.DataFrame) -> None:
        self.failures: list[str] = []
        """Errors of requests: promotions and rollbacks must cause none."""
        self._url = url
        self._model = model
        self._rows = rows
        self._known: TrueValues = defaultdict(dict)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask_all_day, name="customers")
        self._thread.start()

    def next_day(self, rows: pd.DataFrame) -> TrueValues:
        """Ask with the rows of the next day from now on. Returns what came true of the requests of the day before."""
        with self._lock:
            known, self._known, self._rows = self._known, defaultdict(dict), rows
        return known

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _ask_all_day(self) -> None:
        with Client(self._url) as client:
            for position in count(step=ROWS_OF_A_REQUEST):
                if self._over.wait(PAUSE_SECONDS):
                    return
                with self._lock:
                    rows, known = self._rows, self._known
                begin = position % len(rows)
                asked = rows.iloc[begin : begin + ROWS_OF_A_REQUEST]
                try:
                    answer = client.predict(self._model, asked[FEATURES])
                except RayliftError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    continue
                with self._lock:
                    known[answer.model_version][answer.request_id] = asked[TARGET].tolist()

"""A version that is watched: a real model, the real sketch of its requests, a real store, and a clock that is moved by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from job_entrypoints.tracking import training_table as hooks
from job_entrypoints.tracking.reference_profile import profile_of
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.models.version import ModelVersion
from raylift.domain.monitoring.monitor import MonitorSettings
from raylift.domain.monitoring.reference import parse_reference
from raylift.store import Store
from raylift.supervisor.monitors.watch import MonitorWatch
from serve_apps.model_server.codecs.raylift import tabular
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.training_table import parse_training_table
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.model import Model
from serve_apps.model_server.observability.sketch import Sketcher
from serve_apps.model_server.predictors.sklearn import SklearnPredictor

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
VERSION: Final = ("churn", "3")
WINDOW: Final = timedelta(hours=1)


def table(random: np.random.Generator, rows: int, *, shift: float = 0.0, missing: float = 0.05) -> pd.DataFrame:
    """Draw customers. ``shift`` moves their age by so many standard deviations."""
    income = random.lognormal(10, 1, rows)
    income[random.random(rows) < missing] = np.nan
    return pd.DataFrame(
        {
            "age": random.normal(40, 10, rows) + 10 * shift,
            "income": income,
            "rooms": random.integers(0, 6, rows),
            "plan": random.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1]),
            "city": random.choice([f"city {place}" for place in range(50)], rows),
        }
    )


def labels(frame: pd.DataFrame, random: np.random.Generator) -> Any:
    return np.where(frame["age"] + 5 * (frame["plan"] == "pro") + random.normal(0, 8, len(frame)) > 45, "leaves", "stays")


@cache
def trained() -> tuple[Model, dict[str, Any]]:
    """Return the model, and its reference profile as it lies in MLflow."""
    random = np.random.default_rng(1)
    frame = table(random, 4000)
    target = labels(frame, random)
    frame_of_fit = frame.fillna({"income": 0.0})
    columns = [("n", StandardScaler(), ["age", "rooms"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["plan"])]
    fitted = make_pipeline(ColumnTransformer(columns), LogisticRegression()).fit(frame_of_fit, target)
    profile = profile_of(frame, target)
    schema = hooks.schema_of(frame)
    assert profile is not None
    assert schema is not None
    training = parse_training_table(json.loads(json.dumps(schema)))
    predictor = SklearnPredictor(fitted, "predict")
    found, origin = schema_of(None, predictor.features, is_native=True, table=training)
    profile = json.loads(json.dumps(profile))
    model = Model(*VERSION, predictor, found, None, "3.17.2", origin=origin, reference=parse_reference(profile))
    return accelerated(model), profile


class WatchedVersion:
    def __init__(self, store: Store, directory: Path, **settings: Any) -> None:
        self.store, self.directory, self.now = store, directory, NOON
        self.model, self.profile = trained()
        self.watch = self.new_watch()
        lease = store.leases.acquire(SUPERVISOR, "me", now=NOON, seconds=10**9)
        assert lease is not None
        self.lease: Lease = lease
        store.deployments.ensure(*VERSION, model_uri="models:/churn/3", config=DeploymentConfig(), now=NOON)
        if settings:
            store.monitors.set(*VERSION, MonitorSettings(**settings), NOON)
        self.process = self.new_process()
        self.watch.read_references(self.lease)
        self.watch.close_windows(self.lease)

    def version(self, name: str, version: str) -> ModelVersion:
        return ModelVersion(name, version, NOON)

    def reference_profile(self, version: ModelVersion) -> dict[str, Any] | None:
        return self.profile

    def new_watch(self) -> MonitorWatch:
        """Return the watch of a supervisor that has just started."""
        return MonitorWatch(self.store, self, self.directory, lambda: self.now)

    def new_process(self) -> Sketcher:
        assert self.model.reference is not None
        return Sketcher(self.model, self.model.reference, ProcessKind.REPLICA, self.directory)

    def predict(self, frame: pd.DataFrame, rows_each: int = 50) -> None:
        """Answer requests of so many rows as JSON has them, each with its own place in the sample."""
        records = json.loads(str(frame.to_json(orient="records")))
        for start in range(0, len(records), rows_each):
            request = self.model.prediction_request(
                records[start : start + rows_each], lambda inputs: tabular(inputs, self.model)
            )
            self.process.offer(request, self.model.predict(request), request.rows)
            self.process.flush()

    def end_window(self) -> None:
        self.now += WINDOW
        self.watch.close_windows(self.lease)

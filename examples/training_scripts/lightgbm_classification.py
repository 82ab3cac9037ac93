"""LightGBM on synthetic data. Environment variables set the size and the learning rate.

    N_SAMPLES      rows, 100 to 1000000 (default 2000)
    N_FEATURES     columns, 4 to 500 (default 20)
    LEARNING_RATE  above 0, at most 1 (default 0.1)

Runs on the platform, where MLFLOW_TRACKING_URI and the experiment are set, and with plain ``python``, where MLflow writes
into the current directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import lightgbm as lgb
import mlflow
import mlflow.lightgbm
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

SEED = 42
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Settings:
    n_samples: int
    n_features: int
    learning_rate: float

    @classmethod
    def from_environment(cls) -> Settings:
        return cls(
            n_samples=_number("N_SAMPLES", int, 2000, 100, 1_000_000),
            n_features=_number("N_FEATURES", int, 20, 4, 500),
            learning_rate=_number("LEARNING_RATE", float, 0.1, 1e-6, 1.0),
        )


def _number(name: str, kind: Callable[[str], Number], default: Number, least: Number, most: Number) -> Number:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = kind(text)
    except ValueError:
        sys.exit(f"{name}={text!r} is not a number")
    if not least <= value <= most:
        sys.exit(f"{name}={value} is not between {least} and {most}")
    return value


def load_data(settings: Settings) -> tuple[pd.DataFrame, pd.Series]:
    features, target = make_classification(
        n_samples=settings.n_samples,
        n_features=settings.n_features,
        n_informative=max(2, settings.n_features // 2),
        n_redundant=0,
        random_state=SEED,
    )
    names = [f"feature_{number}" for number in range(settings.n_features)]
    return pd.DataFrame(features, columns=names), pd.Series(target, name="target")


def evaluate(model: lgb.LGBMClassifier, features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    predicted, probability = model.predict(features), model.predict_proba(features)[:, 1]
    return {
        "accuracy": float(accuracy_score(target, predicted)),
        "f1": float(f1_score(target, predicted)),
        "roc_auc": float(roc_auc_score(target, probability)),
        "log_loss": float(log_loss(target, probability)),
    }


def main() -> None:
    settings = Settings.from_environment()
    print(f"settings: {settings}")
    features, target = load_data(settings)
    x_rest, x_test, y_rest, y_test = train_test_split(features, target, test_size=0.25, stratify=target, random_state=SEED)
    x_train, x_valid, y_train, y_valid = train_test_split(x_rest, y_rest, test_size=0.2, stratify=y_rest, random_state=SEED)

    with mlflow.start_run(run_name="lightgbm"):
        mlflow.log_params(asdict(settings) | {"seed": SEED})

        model = lgb.LGBMClassifier(n_estimators=200, learning_rate=settings.learning_rate, random_state=SEED, verbose=-1)
        model.fit(x_train, y_train, eval_set=[(x_valid, y_valid)], callbacks=[lgb.early_stopping(20, verbose=False)])

        metrics = evaluate(model, x_test, y_test) | {"best_iteration": float(model.best_iteration_)}
        mlflow.log_metrics(metrics)
        # cloudpickle, because MLflow's default (skops) refuses LightGBM's types unless each of them is listed.
        mlflow.lightgbm.log_model(
            model,
            name="model",
            signature=infer_signature(x_test, model.predict(x_test)),
            input_example=x_test.head(2),
            serialization_format="cloudpickle",
        )

    for name, value in metrics.items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()

"""Names, people, scripts and figures of the demo. The same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OWNERS: Final = ("ann", "ben", "chloe", "dmitri", "nightly")
TEAMS: Final = {"ann": "growth", "ben": "risk", "chloe": "supply", "dmitri": "risk", "nightly": "platform"}
CLASSIFIER: Final = "classifier"
REGRESSOR: Final = "regressor"


@dataclass(frozen=True, slots=True)
class DemoModel:
    name: str
    kind: str
    versions: int
    requests: float
    """A second, of all its versions together; 0: never asked."""
    requirements: tuple[str, ...] = ()


MODELS: Final = (
    DemoModel("churn", CLASSIFIER, 6, 4.0, ("lightgbm==4.6.0",)),
    DemoModel("fraud-score", CLASSIFIER, 5, 6.0, ("tabulate==0.9.0", "category-encoders==2.8.1")),
    DemoModel("demand-forecast", REGRESSOR, 5, 0.0),
    DemoModel("delivery-time", REGRESSOR, 4, 3.0, ("lightgbm==4.6.0",)),
    DemoModel("house-prices", REGRESSOR, 4, 0.0),
    DemoModel("credit-limit", REGRESSOR, 3, 0.0),
    DemoModel("lead-quality", CLASSIFIER, 3, 0.0, ("category-encoders==2.8.1",)),
    DemoModel("returns", CLASSIFIER, 3, 0.0),
    DemoModel("spam", CLASSIFIER, 2, 2.0),
    DemoModel("energy-load", REGRESSOR, 2, 0.0, ("holidays==0.83",)),
    DemoModel("basket-size", REGRESSOR, 2, 0.0),
    DemoModel("sensor-fault", CLASSIFIER, 1, 0.0),
)
"""40 versions."""

TRAINING: Final = '''"""Gradient boosting on made-up customers; logs its loss by round."""

import os
import time

import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import {estimator}
from sklearn.model_selection import train_test_split

ROUNDS = int(os.environ.get("ROUNDS", "40"))
PAUSE = float(os.environ.get("PAUSE", "0"))
RATE = float(os.environ.get("LEARNING_RATE", "0.1"))

random = np.random.default_rng(7)
customers = pd.DataFrame(
    {{
        "months": random.integers(1, 72, 2000).astype(float),
        "monthly_fee": random.uniform(15, 120, 2000).round(2),
        "support_calls": random.poisson(1.5, 2000).astype(float),
    }}
)
score = 0.03 * customers.monthly_fee + 0.8 * customers.support_calls - 0.08 * customers.months
target = {target}
train_x, test_x, train_y, test_y = train_test_split(customers, target, random_state=7)

print(f"{{len(train_x)}} rows to train on, {{len(test_x)}} held out", flush=True)
mlflow.log_params({{"rounds": ROUNDS, "learning_rate": RATE, "max_depth": 3}})
model = {estimator}(n_estimators=1, learning_rate=RATE, warm_start=True, random_state=7)
for step in range(1, ROUNDS + 1):
    model.set_params(n_estimators=step).fit(train_x, train_y)
    train, valid = model.score(train_x, train_y), model.score(test_x, test_y)
    mlflow.log_metrics({{"train_{metric}": train, "{metric}": valid}}, step=step)
    print(f"round {{step:3d}}/{{ROUNDS}}  train_{metric} {{train:.4f}}  {metric} {{valid:.4f}}", flush=True)
    time.sleep(PAUSE)
mlflow.sklearn.log_model(model, name="model", input_example=train_x.head(2))
'''


def training_script(kind: str) -> str:
    if kind == CLASSIFIER:
        target = "(score + random.normal(0, 1, 2000) > 1).astype(int)"
        return TRAINING.format(estimator="GradientBoostingClassifier", target=target, metric="accuracy")
    target = "(score * 10 + random.normal(20, 2, 2000)).round(1)"
    return TRAINING.format(estimator="GradientBoostingRegressor", target=target, metric="r2")


ROW: Final = {"months": 3.0, "monthly_fee": 110.0, "support_calls": 5.0}

FAILURES: Final = (
    ("script_error", 1, "KeyError: 'signup_date' (train.py, line 41)"),
    ("script_error", 1, "ValueError: Input X contains NaN. (train.py, line 58)"),
    ("script_error", 1, "FileNotFoundError: 'data/orders_2026_11.parquet' (train.py, line 12)"),
    ("out_of_memory", 137, "Killed by the memory watchdog: the job used more than its limit of {memory} GiB."),
    ("timeout", 143, "The script ran for 10 min, its whole time limit."),
    ("environment_error", 78, "No version of catboost satisfies catboost==1.9; the newest is 1.2.8."),
    ("no_model_logged", 0, "The script logged no model, and model '{model}' was to get a version."),
)

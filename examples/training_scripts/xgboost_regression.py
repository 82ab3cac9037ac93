"""Gradient boosting on synthetic data, stopped early on a validation set.

Runs on the platform, where MLFLOW_TRACKING_URI and the experiment are set, and with plain ``python``, where MLflow writes
into the current directory.
"""

from __future__ import annotations

import mlflow
import mlflow.xgboost
import numpy as np
import pandas as pd
import xgboost as xgb
from mlflow.models import infer_signature
from sklearn.datasets import make_regression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

SEED = 42
DATA = {"n_samples": 2000, "n_features": 12, "n_informative": 8, "noise": 10.0}
TREES = {
    "n_estimators": 1000,
    "learning_rate": 0.05,
    "max_depth": 4,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "early_stopping_rounds": 20,
}


def load_data() -> tuple[pd.DataFrame, pd.Series]:
    features, target = make_regression(**DATA, random_state=SEED)
    names = [f"feature_{number}" for number in range(DATA["n_features"])]
    return pd.DataFrame(features, columns=names), pd.Series(target, name="target")


def evaluate(model: xgb.XGBRegressor, features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    predicted = model.predict(features)
    return {
        "rmse": float(root_mean_squared_error(target, predicted)),
        "mae": float(mean_absolute_error(target, predicted)),
        "r2": float(r2_score(target, predicted)),
    }


def log_learning_curve(model: xgb.XGBRegressor, every: int = 10) -> None:
    """Log the validation error of each round: MLflow then shows the early stop."""
    errors = model.evals_result()["validation_0"]["rmse"]
    for step in range(0, len(errors), every):
        mlflow.log_metric("validation_rmse", errors[step], step=step)


def main() -> None:
    features, target = load_data()
    x_rest, x_test, y_rest, y_test = train_test_split(features, target, test_size=0.2, random_state=SEED)
    x_train, x_valid, y_train, y_valid = train_test_split(x_rest, y_rest, test_size=0.2, random_state=SEED)
    print(f"{len(x_train)} rows to train on, {len(x_valid)} to stop by, {len(x_test)} to test on")

    with mlflow.start_run(run_name="xgboost"):
        mlflow.log_params({f"data_{name}": value for name, value in DATA.items()} | TREES | {"seed": SEED})

        model = xgb.XGBRegressor(**TREES, eval_metric="rmse", random_state=SEED)
        model.fit(x_train, y_train, eval_set=[(x_valid, y_valid)], verbose=50)

        metrics = evaluate(model, x_test, y_test) | {"best_iteration": float(model.best_iteration)}
        mlflow.log_metrics(metrics | {"target_std": float(np.std(y_test))})
        log_learning_curve(model)
        mlflow.xgboost.log_model(
            model,
            name="model",
            signature=infer_signature(x_test, model.predict(x_test)),
            input_example=x_test.head(2),
        )

    for name, value in metrics.items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()

"""XGBoost on a GPU where the job has one, else on its CPUs.

raylift train examples/gpu/xgboost_gpu.py --model boosted --gpus 1
"""

from __future__ import annotations

import json

import mlflow
import numpy as np
import xgboost as xgb
from mlflow.models import infer_signature
from sklearn.datasets import make_regression
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split


def device() -> str:
    """Return ``cuda`` where this script has a GPU that XGBoost can use, and say so where it has none."""
    # XGBoost takes the CPU by itself where it finds no GPU, with a warning.
    tried = xgb.train({"device": "cuda"}, xgb.DMatrix(np.array([[0.0], [1.0]]), label=[0.0, 1.0]), 1)
    if json.loads(tried.save_config())["learner"]["generic_param"]["device"].startswith("cuda"):
        return "cuda"
    print("No GPU: the job asked for none (--gpus 1), or this build of XGBoost has no CUDA. Training on the CPU.")
    return "cpu"


def main() -> None:
    features, target = make_regression(n_samples=2000, n_features=12, noise=10.0, random_state=42)
    x_train, x_test, y_train, y_test = train_test_split(features, target, test_size=0.2, random_state=42)
    with mlflow.start_run(run_name="xgboost on a GPU"):
        chosen = device()
        model = xgb.XGBRegressor(n_estimators=100, max_depth=4, device=chosen, random_state=42).fit(x_train, y_train)
        model.set_params(device="cpu")  # Its replicas need no GPU: single predictions are faster without.
        mlflow.log_param("device", chosen)
        mlflow.log_metric("rmse", float(root_mean_squared_error(y_test, model.predict(x_test))))
        mlflow.xgboost.log_model(model, name="model", signature=infer_signature(x_test, model.predict(x_test)))
        print(f"trained on {chosen}")


if __name__ == "__main__":
    main()

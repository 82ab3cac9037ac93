"""XGBoost on several workers with Ray Train. Each worker trains on its part of a Ray Data dataset.

raylift train examples/distributed/xgboost_trainer.py --model boosted --workers 2 --worker-cpus 1
"""

from __future__ import annotations

import os

import mlflow
import ray.data
import ray.train
import xgboost as xgb
from mlflow.models import infer_signature
from ray.train import RunConfig, ScalingConfig
from ray.train.xgboost import RayTrainReportCallback, XGBoostTrainer
from sklearn.datasets import load_breast_cancer

PARAMS = {"objective": "binary:logistic", "eval_metric": "logloss", "max_depth": 3, "eta": 0.3, "nthread": 1}
ROUNDS = 10


def train_loop() -> None:
    shard = ray.train.get_dataset_shard("train").materialize().to_pandas()
    data = xgb.DMatrix(shard.drop(columns="target"), shard["target"])
    # A second attempt of the job goes on from the last checkpoint.
    checkpoint = ray.train.get_checkpoint()
    before = RayTrainReportCallback.get_model(checkpoint) if checkpoint else None
    rounds = ROUNDS - (before.num_boosted_rounds() if before else 0)
    print("worker", ray.train.get_context().get_world_rank(), "has", len(shard), "rows and", rounds, "rounds to go")
    xgb.train(PARAMS, data, rounds, evals=[(data, "train")], xgb_model=before, callbacks=[RayTrainReportCallback()])


def main() -> None:
    table = load_breast_cancer(as_frame=True).frame
    result = XGBoostTrainer(
        train_loop,
        datasets={"train": ray.data.from_pandas(table)},
        scaling_config=ScalingConfig(
            num_workers=int(os.environ["RAYLIFT_WORKERS"]),
            resources_per_worker={"CPU": float(os.environ["RAYLIFT_WORKER_CPUS"])},
        ),
        run_config=RunConfig(name="run", storage_path=os.environ["RAYLIFT_STORAGE"]),
    ).fit()
    model = RayTrainReportCallback.get_model(result.checkpoint)
    features = table.drop(columns="target")
    with mlflow.start_run():
        mlflow.log_params({**PARAMS, "rounds": ROUNDS})
        mlflow.log_metric("logloss", result.metrics["train-logloss"])
        signature = infer_signature(features, model.predict(xgb.DMatrix(features)))
        mlflow.xgboost.log_model(model, name="model", signature=signature)


main()

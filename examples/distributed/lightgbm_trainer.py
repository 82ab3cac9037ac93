"""LightGBM on several workers with Ray Train. The workers build each tree together.

raylift train examples/distributed/lightgbm_trainer.py --model lights --workers 2 --worker-cpus 1
"""

from __future__ import annotations

import os

import lightgbm as lgb
import mlflow
import ray.data
import ray.train
from mlflow.models import infer_signature
from ray.train import RunConfig, ScalingConfig
from ray.train.lightgbm import LightGBMTrainer, RayTrainReportCallback
from sklearn.datasets import load_breast_cancer

PARAMS = {"objective": "binary", "metric": "binary_logloss", "num_leaves": 7, "verbose": -1, "num_threads": 1}
ROUNDS = 10


def train_loop() -> None:
    shard = ray.train.get_dataset_shard("train").materialize().to_pandas()
    print("worker", ray.train.get_context().get_world_rank(), "has", len(shard), "rows")
    data = lgb.Dataset(shard.drop(columns="target"), shard["target"])
    network = ray.train.lightgbm.get_network_params()
    params = {**PARAMS, "tree_learner": "data_parallel", "pre_partition": True, **network}
    lgb.train(params, data, ROUNDS, valid_sets=[data], valid_names=["train"], callbacks=[RayTrainReportCallback()])


def main() -> None:
    table = load_breast_cancer(as_frame=True).frame
    table.columns = [name.replace(" ", "_") for name in table.columns]
    result = LightGBMTrainer(
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
        mlflow.log_metric("logloss", result.metrics["train-binary_logloss"])
        mlflow.lightgbm.log_model(model, name="model", signature=infer_signature(features, model.predict(features)))


main()

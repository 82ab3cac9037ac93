"""PyTorch on several workers with Ray Train, on CPUs: data-parallel training with a checkpoint after each epoch.

raylift train examples/distributed/torch_trainer.py --model net --workers 2 --worker-cpus 1 \
        --requirements torch --torch-backend cpu
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import ray.train
import ray.train.torch
import torch
from mlflow.models import infer_signature
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from sklearn.datasets import load_iris
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 5


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))


def train_loop() -> None:
    features, target = load_iris(return_X_y=True)
    data = TensorDataset(torch.tensor(features, dtype=torch.float32), torch.tensor(target))
    loader = ray.train.torch.prepare_data_loader(DataLoader(data, batch_size=16, shuffle=True))
    model, first = network(), 0
    if checkpoint := ray.train.get_checkpoint():  # A second attempt of the job goes on from here.
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"))
        model.load_state_dict(state["model"])
        first = state["epoch"] + 1
    model = ray.train.torch.prepare_model(model)
    optimizer, loss_of = torch.optim.Adam(model.parameters(), lr=0.02), torch.nn.CrossEntropyLoss()
    for epoch in range(first, EPOCHS):
        for rows, wanted in loader:
            optimizer.zero_grad()
            loss = loss_of(model(rows), wanted)
            loss.backward()
            optimizer.step()
        bare = model.module if hasattr(model, "module") else model
        with tempfile.TemporaryDirectory() as folder:
            torch.save({"model": bare.state_dict(), "epoch": epoch}, Path(folder, "state.pt"))
            is_first = ray.train.get_context().get_world_rank() == 0
            ray.train.report({"loss": loss.item()}, checkpoint=Checkpoint.from_directory(folder) if is_first else None)


def main() -> None:
    result = TorchTrainer(
        train_loop,
        scaling_config=ScalingConfig(
            num_workers=int(os.environ["RAYLIFT_WORKERS"]),
            resources_per_worker={"CPU": float(os.environ["RAYLIFT_WORKER_CPUS"])},
        ),
        run_config=RunConfig(name="run", storage_path=os.environ["RAYLIFT_STORAGE"]),
    ).fit()
    model = network()
    with result.checkpoint.as_directory() as folder:
        model.load_state_dict(torch.load(Path(folder, "state.pt"))["model"])
    rows = load_iris().data.astype(np.float32)
    with mlflow.start_run():
        mlflow.log_metric("loss", result.metrics["loss"])
        signature = infer_signature(rows, model(torch.tensor(rows)).detach().numpy())
        mlflow.pytorch.log_model(model, name="model", signature=signature, serialization_format="pickle")


main()

"""PyTorch on a GPU where the job has one, else on its CPUs.

raylift train examples/gpu/torch_gpu.py --model digits --gpus 1 --requirements torch

Its replicas predict on a GPU when they have a part of one: raylift deployments set digits 1 --gpus 0.5
"""

from __future__ import annotations

import mlflow
import numpy as np
import torch
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from torch import nn

EPOCHS = 30


def device() -> torch.device:
    """Return the GPU of this script, and say so where it has none."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    print("No GPU: the job asked for none (--gpus 1), or this build of PyTorch has no CUDA. Training on the CPU.")
    return torch.device("cpu")


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    chosen = device()
    x, y = torch.from_numpy(images).to(chosen), torch.from_numpy(digits).long().to(chosen)
    torch.manual_seed(42)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(chosen)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with mlflow.start_run(run_name="PyTorch on a GPU"):
        mlflow.log_param("device", chosen.type)
        for epoch in range(EPOCHS):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mlflow.log_metric("loss", loss.item(), step=epoch)
        model = model.cpu()
        with torch.no_grad():
            answers = model(torch.from_numpy(images)).numpy()
        mlflow.log_metric("accuracy", float((answers.argmax(axis=1) == digits).mean()))
        mlflow.pytorch.log_model(model, name="model", signature=infer_signature(images, answers), input_example=images[:2])
    print(f"trained on {chosen.type}")


if __name__ == "__main__":
    main()

# /// script
# dependencies = ["torch==2.13.0"]
# ///
"""A network of PyTorch without a signature. Requests are plain numbers."""

import mlflow
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
rows = [[0.5, -1.0, 2.0], [0.0, 0.25, -0.5], [1, 2, 3]]
with torch.no_grad():
    answers = model(torch.tensor(rows)).tolist()
with mlflow.start_run():
    mlflow.pytorch.log_model(model, name="model")
    mlflow.log_dict({"inputs": rows, "predictions": answers}, "expected.json")

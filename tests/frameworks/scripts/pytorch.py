# /// script
# dependencies = ["torch==2.13.0"]
# ///
"""A network of PyTorch with a signature."""

import mlflow
import numpy as np
import torch
from mlflow.models import infer_signature

torch.manual_seed(0)
features = torch.randn(256, 3)
target = features @ torch.tensor([[1.0], [-2.0], [0.5]])
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(50):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(features), target)
    loss.backward()
    optimizer.step()

rows = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, -0.5]], dtype=np.float32)
with torch.no_grad():
    answers = model(torch.from_numpy(rows)).numpy()
with mlflow.start_run():
    mlflow.log_metric("loss", float(loss))
    mlflow.pytorch.log_model(model, name="model", signature=infer_signature(rows, answers))
    mlflow.log_dict({"inputs": rows.tolist(), "predictions": answers.tolist()}, "expected.json")

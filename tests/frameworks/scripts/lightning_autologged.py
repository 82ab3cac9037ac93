# /// script
# dependencies = ["torch==2.13.0", "lightning"]
# ///
"""A module of Lightning. Autologging logs its epochs and its model."""

import lightning
import mlflow
import numpy as np
import torch

torch.manual_seed(0)
features = torch.randn(64, 3)
target = features @ torch.tensor([[1.0], [-2.0], [0.5]])


class Regression(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, rows):
        return self.layer(rows)

    def training_step(self, batch, _):
        rows, wanted = batch
        loss = torch.nn.functional.mse_loss(self(rows), wanted)
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


model = Regression()
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(features, target), batch_size=16)
trainer = lightning.Trainer(
    max_epochs=2, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False, logger=False
)
trainer.fit(model, batches)

rows = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, -0.5]], dtype=np.float32)
model.eval()
with torch.no_grad():
    answers = model(torch.from_numpy(rows)).numpy()
mlflow.log_dict({"inputs": rows.tolist(), "predictions": answers.tolist()}, "expected.json")

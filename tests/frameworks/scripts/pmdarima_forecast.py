# /// script
# dependencies = ["pmdarima"]
# ///
"""A forecast of pmdarima. A request is one row with the number of periods."""

import mlflow
import numpy as np
import pmdarima

series = np.sin(np.arange(60) / 5) + np.arange(60) * 0.05
model = pmdarima.ARIMA(order=(1, 1, 0)).fit(series)

with mlflow.start_run():
    mlflow.pmdarima.log_model(model, name="model")
    mlflow.log_dict(
        {"inputs": {"n_periods": [3]}, "predictions": [{"yhat": value} for value in model.predict(3).tolist()]},
        "expected.json",
    )

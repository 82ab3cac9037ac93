# /// script
# dependencies = ["prophet"]
# ///
"""A forecast of Prophet. Its intervals are random, so the test compares the forecast only."""

import mlflow
import numpy as np
import pandas as pd
from prophet import Prophet

days = pd.date_range("2024-01-01", periods=120, freq="D")
history = pd.DataFrame({"ds": days, "y": np.sin(np.arange(120) / 7) + np.arange(120) * 0.1})
model = Prophet(uncertainty_samples=0)
model.fit(history)

asked = pd.DataFrame({"ds": ["2024-05-01T00:00:00", "2024-05-02T00:00:00"]})
answers = model.predict(asked.assign(ds=pd.to_datetime(asked["ds"])))
with mlflow.start_run():
    mlflow.prophet.log_model(model, name="model")
    mlflow.log_dict(
        {"inputs": asked.to_dict("list"), "predictions": [{"yhat": value} for value in answers["yhat"]]}, "expected.json"
    )

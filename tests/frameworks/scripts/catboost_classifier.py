# /// script
# dependencies = ["catboost"]
# ///
"""A classifier of CatBoost with a column of text."""

import mlflow
import numpy as np
import pandas as pd
from catboost import CatBoostClassifier

random = np.random.default_rng(0)
frame = pd.DataFrame({"amount": random.normal(size=200), "city": random.choice(["Bonn", "Ulm"], size=200)})
labels = (frame["amount"] > 0) & (frame["city"] == "Ulm")
model = CatBoostClassifier(iterations=10, depth=2, verbose=False, cat_features=["city"], allow_writing_files=False)
model.fit(frame, labels.astype(int))

asked = pd.DataFrame({"amount": [1.5, -0.5], "city": ["Ulm", "Bonn"]})
with mlflow.start_run():
    mlflow.catboost.log_model(model, name="model")
    mlflow.log_dict(
        {
            "inputs": asked.to_dict("list"),
            "predictions": model.predict(asked).tolist(),
            "probabilities": model.predict_proba(asked).tolist(),
        },
        "expected.json",
    )

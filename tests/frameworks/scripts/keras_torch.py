# /// script
# dependencies = ["keras", "torch==2.13.0"]
# ///
"""A network of Keras on PyTorch, the backend that KERAS_BACKEND names."""

import keras
import mlflow
import numpy as np
from mlflow.models import infer_signature

keras.utils.set_random_seed(0)
features = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
target = features @ np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)
model = keras.Sequential([keras.Input([3]), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile(loss="mse", optimizer="adam")
model.fit(features, target, epochs=2, verbose=0)

rows = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, -0.5]], dtype=np.float32)
answers = model.predict(rows, verbose=0)
assert keras.backend.backend() == "torch"
with mlflow.start_run():
    mlflow.keras.log_model(model, name="model", signature=infer_signature(rows, answers))
    mlflow.log_dict({"inputs": rows.tolist(), "predictions": answers.tolist()}, "expected.json")

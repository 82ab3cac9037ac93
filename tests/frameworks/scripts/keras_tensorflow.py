# /// script
# dependencies = ["keras", "tensorflow-cpu"]
# ///
"""A network of Keras on TensorFlow, autologged."""

import keras
import mlflow
import numpy as np

keras.utils.set_random_seed(0)
features = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
target = features @ np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)
model = keras.Sequential([keras.Input([3]), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile(loss="mse", optimizer="adam")
model.fit(features, target, epochs=2, verbose=0)

rows = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, -0.5]], dtype=np.float32)
assert keras.backend.backend() == "tensorflow"
mlflow.log_dict({"inputs": rows.tolist(), "predictions": model.predict(rows, verbose=0).tolist()}, "expected.json")

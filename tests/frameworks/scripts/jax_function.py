# /// script
# dependencies = ["jax"]
# ///
"""A regression in JAX, logged as a Python function."""

import jax
import jax.numpy as jnp
import mlflow
import numpy as np
from mlflow.models import infer_signature

features = jax.random.normal(jax.random.PRNGKey(0), (64, 3))
target = features @ jnp.array([1.0, -2.0, 0.5])
loss = jax.jit(lambda weights: jnp.mean((features @ weights - target) ** 2))
gradient = jax.jit(jax.grad(loss))
weights = jnp.zeros(3)
for _ in range(30):
    weights = weights - 0.1 * gradient(weights)


class Regression(mlflow.pyfunc.PythonModel):
    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def predict(self, context, model_input, params=None):
        return np.asarray(jnp.asarray(model_input) @ jnp.asarray(self.weights))


rows = np.array([[0.5, -1.0, 2.0], [0.0, 0.25, -0.5]], dtype=np.float32)
model = Regression(np.asarray(weights))
answers = model.predict(None, rows)
with mlflow.start_run():
    mlflow.log_metric("loss", float(loss(weights)))
    mlflow.pyfunc.log_model(name="model", python_model=model, signature=infer_signature(rows, answers))
    mlflow.log_dict({"inputs": rows.tolist(), "predictions": answers.tolist()}, "expected.json")

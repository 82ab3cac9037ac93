# /// script
# dependencies = ["statsmodels"]
# ///
"""A linear regression of statsmodels with a formula."""

import mlflow
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

random = np.random.default_rng(0)
frame = pd.DataFrame({"age": random.normal(size=80), "income": random.normal(size=80)})
frame["y"] = 2 * frame["age"] - frame["income"] + random.normal(scale=0.1, size=80)
results = smf.ols("y ~ age + income", data=frame).fit()

asked = pd.DataFrame({"age": [0.5, -1.0], "income": [1.0, 2.5]})
with mlflow.start_run():
    mlflow.statsmodels.log_model(results, name="model")
    mlflow.log_dict({"inputs": asked.to_dict("list"), "predictions": results.predict(asked).tolist()}, "expected.json")

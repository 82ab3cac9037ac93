/** A script to begin with. It needs nothing beyond the base environment. */

export const EXAMPLE_NAME = "churn.py";

export const EXAMPLE = `"""A classifier on made-up data: who leaves, who stays?"""

import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

random = np.random.default_rng(7)
customers = pd.DataFrame(
    {
        "months": random.integers(1, 72, 2000).astype(float),
        "monthly_fee": random.uniform(15, 120, 2000).round(2),
        "support_calls": random.poisson(1.5, 2000).astype(float),
    }
)
score = 0.03 * customers.monthly_fee + 0.8 * customers.support_calls - 0.08 * customers.months
leaves = (score + random.normal(0, 1, 2000) > 1).astype(int)

train_x, test_x, train_y, test_y = train_test_split(customers, leaves, random_state=7)
model = RandomForestClassifier(n_estimators=60, max_depth=6, random_state=7).fit(train_x, train_y)

mlflow.log_metric("accuracy", accuracy_score(test_y, model.predict(test_x)))
mlflow.log_metric("roc_auc", roc_auc_score(test_y, model.predict_proba(test_x)[:, 1]))
mlflow.sklearn.log_model(model, name="model", input_example=train_x.head(2))
print("trained on", len(train_x), "customers")
`;

export function example(): File {
  return new File([EXAMPLE], EXAMPLE_NAME);
}

"""A script for a sweep. It reads its parameters from environment variables and logs the metric that decides the best job.

raylift train examples/sweep.py --model digits --requirements scikit-learn \
    --sweep MAX_DEPTH=4,8,16 --sweep N_ESTIMATORS=20,60 --metric accuracy --register-best --follow
"""

import os

import mlflow
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

max_depth = int(os.environ.get("MAX_DEPTH", "8"))
n_estimators = int(os.environ.get("N_ESTIMATORS", "20"))

features, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=0)

with mlflow.start_run():
    model = RandomForestClassifier(n_estimators, max_depth=max_depth, random_state=0).fit(train_x, train_y)
    accuracy = model.score(test_x, test_y)
    mlflow.log_metric("accuracy", accuracy)
    mlflow.sklearn.log_model(model, name="model")

print(f"max_depth={max_depth} n_estimators={n_estimators}: accuracy {accuracy:.3f}")

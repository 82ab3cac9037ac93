"""A small training script: a random forest, one metric, one logged model."""

import mlflow
import mlflow.sklearn
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

X, y = make_classification(n_samples=1000, n_features=20, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

with mlflow.start_run():
    model = RandomForestClassifier(n_estimators=100, random_state=0).fit(X_train, y_train)
    accuracy = model.score(X_test, y_test)
    mlflow.log_metric("accuracy", accuracy)
    # cloudpickle: MLflow's default, skops, refuses tree models unless each of their types is listed. On the platform
    # the plain mlflow.sklearn.log_model(model, "model") works as well.
    mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle")

print(f"trained on {len(X_train)} rows, accuracy {accuracy:.3f} on {len(X_test)} others")

"""The nightly training: fits yesterday's rows, and compares the new model with the champion on rows that neither has seen."""

import os

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FEATURES, TARGET = ["distance_km", "items", "weather"], "late"

rows = pd.read_parquet(os.environ["RAYLIFT_DATA_DELIVERIES"])
train, test = train_test_split(rows, test_size=0.3, random_state=0)
columns = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["weather"]), (StandardScaler(), ["distance_km", "items"])
)
model = make_pipeline(columns, LogisticRegression()).fit(train[FEATURES], train[TARGET])

champion_accuracy = 0.0
try:
    champion = mlflow.sklearn.load_model(f"models:/{os.environ['MODEL']}@champion")
    champion_accuracy = accuracy_score(test[TARGET], champion.predict(test[FEATURES]))
except MlflowException as error:
    print("no champion to compare with:", error)

with mlflow.start_run():
    mlflow.log_metrics(
        {
            "accuracy": accuracy_score(test[TARGET], model.predict(test[FEATURES])),
            "champion_accuracy": champion_accuracy,
        }
    )
    signature = infer_signature(test[FEATURES], model.predict(test[FEATURES]))
    mlflow.sklearn.log_model(model, name="model", signature=signature)

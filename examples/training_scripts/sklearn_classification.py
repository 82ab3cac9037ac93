"""A random forest on synthetic data. The script itself logs parameters, metrics, tables and signature.

Runs on the platform, where MLFLOW_TRACKING_URI and the experiment are set, and with plain ``python``, where MLflow writes
into the current directory.
"""

from __future__ import annotations

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

SEED = 42
FOLDS = 5
DATA = {"n_samples": 2000, "n_features": 20, "n_informative": 10, "n_redundant": 4, "n_classes": 2, "flip_y": 0.02}
FOREST = {"n_estimators": 150, "max_depth": 12, "min_samples_leaf": 2, "max_features": "sqrt", "class_weight": "balanced"}


def load_data() -> tuple[pd.DataFrame, pd.Series]:
    features, target = make_classification(**DATA, random_state=SEED)
    names = [f"feature_{number}" for number in range(DATA["n_features"])]
    return pd.DataFrame(features, columns=names), pd.Series(target, name="target")


def evaluate(model: RandomForestClassifier, features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    predicted = model.predict(features)
    return {
        "accuracy": accuracy_score(target, predicted),
        "precision": precision_score(target, predicted),
        "recall": recall_score(target, predicted),
        "f1": f1_score(target, predicted),
        "roc_auc": roc_auc_score(target, model.predict_proba(features)[:, 1]),
    }


def cross_validate(features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    folds = StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=SEED)
    model = RandomForestClassifier(**FOREST, random_state=SEED)
    scores: np.ndarray = cross_val_score(model, features, target, cv=folds, scoring="accuracy")
    return {"cv_accuracy_mean": float(scores.mean()), "cv_accuracy_std": float(scores.std())}


def log_tables(model: RandomForestClassifier, features: pd.DataFrame, target: pd.Series) -> None:
    """The confusion matrix, the feature importances and the report, as artifacts of the run."""
    predicted = model.predict(features)
    labels = [str(label) for label in model.classes_]
    matrix = confusion_matrix(target, predicted)
    mlflow.log_dict({"labels": labels, "matrix": matrix.tolist()}, "confusion_matrix.json")
    importances = pd.Series(model.feature_importances_, index=features.columns).sort_values(ascending=False)
    mlflow.log_dict(importances.round(6).to_dict(), "feature_importances.json")
    mlflow.log_text(classification_report(target, predicted), "classification_report.txt")
    print(f"confusion matrix, rows are the truth {labels}:\n{matrix}")
    print("most important:", ", ".join(f"{name} {value:.3f}" for name, value in importances.head(5).items()))


def main() -> None:
    features, target = load_data()
    x_train, x_test, y_train, y_test = train_test_split(features, target, test_size=0.25, stratify=target, random_state=SEED)
    print(f"{len(x_train)} rows to train on, {len(x_test)} to test on, {features.shape[1]} features")

    with mlflow.start_run(run_name="random-forest"):
        mlflow.log_params({f"data_{name}": value for name, value in DATA.items()} | FOREST | {"seed": SEED, "cv_folds": FOLDS})

        model = RandomForestClassifier(**FOREST, random_state=SEED).fit(x_train, y_train)
        metrics = evaluate(model, x_test, y_test) | cross_validate(x_train, y_train)
        mlflow.log_metrics(metrics)
        log_tables(model, x_test, y_test)

        # The endpoint checks requests against the signature. cloudpickle, because MLflow's default (skops) refuses
        # tree models unless each of their types is listed.
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(x_test, model.predict(x_test)),
            input_example=x_test.head(2),
            serialization_format="cloudpickle",
        )

    for name, value in metrics.items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()

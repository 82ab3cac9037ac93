# /// script
# dependencies = ["pyspark"]
# ///
"""A pipeline of Spark's machine learning library."""

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
frame = pd.DataFrame({"age": [float(n) for n in range(20)], "income": [float(n * n % 7) for n in range(20)]})
frame["label"] = 2 * frame["age"] - frame["income"]
pipeline = Pipeline(stages=[VectorAssembler(inputCols=["age", "income"], outputCol="features"), LinearRegression()])
model = pipeline.fit(spark.createDataFrame(frame))

asked = pd.DataFrame({"age": [3.0, 40.0], "income": [1.5, 2.0]})
answers = [row.prediction for row in model.transform(spark.createDataFrame(asked)).select("prediction").collect()]
with mlflow.start_run():
    mlflow.spark.log_model(model, artifact_path="model", signature=infer_signature(asked, answers))
    mlflow.log_dict({"inputs": asked.to_dict("list"), "predictions": answers}, "expected.json")
spark.stop()

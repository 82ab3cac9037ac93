# /// script
# dependencies = ["spacy"]
# ///
"""A text classifier of spaCy, trained from a blank pipeline."""

import mlflow
import spacy
from spacy.training import Example

spacy.util.fix_random_seed(0)
pipeline = spacy.blank("en")
categorizer = pipeline.add_pipe("textcat")
for label in ("GOOD", "BAD"):
    categorizer.add_label(label)
texts = {"a good film": "GOOD", "a very bad film": "BAD"}
examples = [
    Example.from_dict(pipeline.make_doc(text), {"cats": {label: float(label == chosen) for label in ("GOOD", "BAD")}})
    for text, chosen in texts.items()
]
optimizer = pipeline.initialize(lambda: examples)
for _ in range(10):
    pipeline.update(examples, sgd=optimizer)

answers = [{"predictions": pipeline(text).cats} for text in texts]
with mlflow.start_run():
    mlflow.spacy.log_model(pipeline, name="model")
    mlflow.log_dict({"inputs": list(texts), "predictions": answers}, "expected.json")

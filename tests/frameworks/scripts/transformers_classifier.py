# /// script
# dependencies = ["torch==2.13.0", "transformers", "tokenizers"]
# ///
"""The smallest possible text classifier of transformers, made from a configuration."""

import mlflow
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

words = ["[PAD]", "[UNK]", "good", "bad", "film", "a", "very"]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16)

torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
)
model = BertForSequenceClassification(config)
texts = ["a good film", "a very bad film"]
batch = fast(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(20):
    optimizer.zero_grad()
    loss = model(**batch, labels=torch.tensor([1, 0])).loss
    loss.backward()
    optimizer.step()
model.eval()

classifier = pipeline("text-classification", model=model, tokenizer=fast)
answers = classifier(texts)
with mlflow.start_run():
    mlflow.log_metric("loss", float(loss))
    mlflow.transformers.log_model(classifier, name="model")
    mlflow.log_dict({"inputs": texts, "predictions": answers}, "expected.json")

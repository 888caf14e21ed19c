"""Print the labels and probabilities that PyTorch's transformers gives texts, all in one padded batch.

python pytorch_classifier.py MODEL_FOLDER TEXTS.json
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2ForSequenceClassification

folder, texts = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
model = GPT2ForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
with torch.no_grad():
    logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
names = [model.config.id2label[number] for number in range(model.config.num_labels)]
found = {"names": names, "labels": [names[int(number)] for number in logits.argmax(-1)]}
print(json.dumps({**found, "logits": logits.tolist(), "probabilities": torch.softmax(logits, -1).tolist()}))

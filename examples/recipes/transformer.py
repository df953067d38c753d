"""A Hugging Face transformer: sequences of different lengths, padded by a `collate_fn` and passed as dictionaries.

Needs transformers.
"""

import torch
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification

torch.manual_seed(0)
size = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64}
config = BertConfig(**size, num_hidden_layers=2, num_attention_heads=2, num_labels=1)  # small and untrained
model = BertForSequenceClassification(config)
texts = [torch.randint(1, 100, (length,)) for length in torch.randint(5, 40, (1_000,)).tolist()]  # from a tokenizer


def padded(items: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


# recipe
from bmdal import select_batch

labelled, pool = texts[:50], texts[50:]
batch = select_batch("lcmd-tp_ll", model, labelled, None, pool, 20, generator=0, collate_fn=padded)
loaders = [DataLoader(part, batch_size=32, collate_fn=padded) for part in (labelled, pool)]
same = select_batch("lcmd-tp_ll", model, loaders[0], None, loaders[1], 20, generator=0)
exact = select_batch("lcmd-tp_grad_rp-64", model, labelled, None, pool[:100], 5, generator=0, collate_fn=padded)
print(batch.indices, same.indices, exact.indices)

"""Embeddings in a memory-mapped file in half precision, 50,000 x 768: a batch of 100 that represents the others.

Needs nothing but bmdal.
"""

import tempfile
from pathlib import Path

import numpy as np

path = Path(tempfile.mkdtemp()) / "embeddings.npy"
embeddings = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(50_000, 768))
centres = np.random.default_rng(0).normal(size=(200, 768))
for start in range(0, 50_000, 5_000):  # stands for the output of an encoder
    rng = np.random.default_rng(start)
    embeddings[start : start + 5_000] = centres[rng.integers(0, 200, 5_000)] + rng.normal(size=(5_000, 768))
embeddings.flush()

# recipe
from bmdal import select

embeddings = np.load(path, mmap_mode="r")
first = select("lcmd-p", pool=embeddings, batch_size=100, generator=0)  # nothing is labelled yet
labelled = first.indices.numpy()
second = select("lcmd-tp", pool=embeddings, batch_size=100, generator=1, train=embeddings[labelled], exclude=labelled)
print(second.indices[:10], second.scores[:10])

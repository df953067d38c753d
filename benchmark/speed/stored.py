"""Pools in files, and what rounding does to a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmark.speed.measure import measure_in_turn
from benchmark.speed.parts import Row, features_of
from benchmark.speed.problem import SpeedProblem
from bmdal import Method, read_features, select, write_features
from bmdal.features import Features, StoredFeatures

STORED = ("maxdiag", "maxdist-p", "lcmd-p", "kmeanspp-p")
ROUNDED = ("maxdiag", "maxdist-tp", "lcmd-tp", "lcmd-p", "kmeanspp-tp")
CHUNK = 8192


def stored(n_pool: int, n_features: int, batch_size: int, folder: Path) -> Iterator[Row]:
    """Write a pool to a float16 file, then select from it in mode P, each once: time, memory, and passes over the file.

    The points are a mixture of 1,000 normal distributions. The variance of feature j is j^-1.3, about as that of the
    principal components of network features. The file may stay in the system's cache, but not in the process's memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "pool.npy")

        def row(what: str, compute: Callable[[], object], size: int = 0) -> Row:
            measured = measure_in_turn({what: compute}, 1, torch.device("cpu"))[what]
            return Row("stored", what, 0, n_pool, size, measured.seconds, peak_bytes=measured.peak_bytes)

        yield row("write float16", lambda: write_features(path, mixture(n_pool, n_features)))
        yield row("compare checksums", lambda: read_features(path))
        for name in STORED:
            n_read = [0]

            def count(features: Features, n_read: list[int] = n_read) -> Features:
                n_read[0] += len(features)
                return features

            pool = read_features(path, check=False).mapped(count)
            selected = row(name, partial(select, name, pool, batch_size, 0), batch_size)
            yield replace(selected, passes=n_read[0] / n_pool)


def rounding(problem: SpeedProblem, batch_size: int) -> Iterator[Row]:
    """Count the points that are chosen from rounded features, but not from those in float32."""
    train, pool = features_of(Method.from_name("lcmd-tp_grad_rp-512"), problem)
    for name in ROUNDED:
        exact = select(name, pool, batch_size, 0, train=train, distinct=False).indices
        for dtype in (torch.float16, torch.bfloat16):
            rounded = StoredFeatures(pool.to(dtype))
            chosen = partial(select, name, rounded, batch_size, 0, train=train, distinct=False)
            measured = measure_in_turn({name: chosen}, 1, torch.device("cpu"))[name]
            n_other = int((~torch.isin(measured.result.indices, exact)).sum())
            what = f"{name}, {str(dtype).removeprefix('torch.')}"
            yield Row("rounding", what, len(train), len(pool), batch_size, measured.seconds, n_other=n_other)


def mixture(n: int, n_features: int) -> Iterator[Tensor]:
    """Features of n points in chunks, always the same."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.arange(1, n_features + 1) ** -0.65
    centres = torch.randn(1000, n_features, generator=generator)
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        centre = centres[torch.randint(len(centres), (size,), generator=generator)]
        yield scales * (centre + 0.5 * torch.randn(size, n_features, generator=generator))

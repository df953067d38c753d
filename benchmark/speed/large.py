"""Large pools in files, what rounding does to a batch, and large batches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.peer import peer_selection
from benchmark.speed.measure import Measured, attempt, measure_in_turn
from benchmark.speed.parts import Conditions, Row, features_of, run_selection
from benchmark.speed.problem import SpeedProblem
from bmdal import Method, read_features, select, write_features
from bmdal.features import Features, StoredFeatures

STORED = ("maxdiag", "maxdist-p", "lcmd-p", "kmeanspp-p")
ROUNDED = ("maxdiag", "maxdist-tp", "lcmd-tp", "lcmd-p", "kmeanspp-tp")
LARGE = (
    "maxdiag_grad_rp-512",
    "maxdist-tp_grad_rp-512",
    "lcmd-tp_grad_rp-512",
    "kmeanspp-tp_grad_rp-512",
    "maxdet-p_grad_rp-512_train",
    "bait-f-p_grad_rp-512_train",
    "fw-p_grad_rp-512_acs-rf-hyper-512",
)
CHUNK = 8192
LIMIT_SECONDS = 600
"""Time limit for one large batch."""


def stored(n_pool: int, n_features: int, batch_size: int, folder: Path) -> Iterator[Row]:
    """Write a pool to a float16 file, then select from it in mode P, each once: time, bytes read and memory.

    The points are a mixture of 1,000 normal distributions. The variance of feature j is j^-1.3, about as that of the
    principal components of network features. The file may stay in the system's cache, but not in the process's memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "pool.npy")

        def row(what: str, compute: Callable[[], object], size: int = 0, read: Callable[[], int] | None = None) -> Row:
            measured = measure_in_turn({what: compute}, 1, torch.device("cpu"))[what]
            done = Row("stored", what, 0, n_pool, size, measured.seconds, peak_bytes=measured.peak_bytes)
            return done if read is None else replace(done, bytes_read=read())

        yield row("write float16", lambda: write_features(path, mixture(n_pool, n_features)))
        yield row("compare checksums", lambda: read_features(path))
        for name in STORED:
            n_read = [0]

            def count(features: Features, n_read: list[int] = n_read) -> Features:
                n_read[0] += len(features)
                return features

            pool = read_features(path, check=False).mapped(count)
            compute = partial(select, name, pool, batch_size, 0)
            yield row(name, compute, batch_size, lambda n_read=n_read: 2 * n_features * n_read[0])  # type: ignore[misc]


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


def large(problem: SpeedProblem, methods: Sequence[str], batch_size: int, conditions: Conditions) -> Iterator[Row]:
    """Select large batches from the same features, once each, by our code and the original, ten minutes at most."""
    for name in methods:
        method = Method.from_name(name)
        train, pool = features_of(method, problem)
        if method.selection.needs_float64:
            train, pool = train.double(), pool.double()
        row = Row("large", name, len(train), len(pool), batch_size, seconds=None)
        ours = attempt(partial(run_selection, method, train, pool, batch_size), LIMIT_SECONDS)
        theirs: Measured[Any] | str | None = None
        if conditions.with_original:
            theirs = attempt(partial(peer_selection, method, train, pool, batch_size), LIMIT_SECONDS)
        if isinstance(ours, str):
            row = replace(row, failure=ours)
        else:
            row = replace(row, seconds=ours.seconds, peak_bytes=ours.peak_bytes)
        if isinstance(theirs, str):
            row = replace(row, original_failure=theirs)
        elif theirs is not None:
            row = replace(row, original_seconds=theirs.seconds, original_peak_bytes=theirs.peak_bytes)
            if not isinstance(ours, str) and not name.startswith("kmeanspp"):
                row = replace(row, same_indices=ours.result.tolist() == theirs.result.tolist())
        yield row

"""Batches for a forest: our methods compared with the strategies of scikit-activeml that take any model, or none."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import BenchmarkError
from benchmark.speed.measure import Measured, bounded, measure_in_turn
from benchmark.speed.parts import Row
from bmdal import Batch, select, select_batch
from bmdal.regressor.training import TrainingData

N_TREES = 100
COMMITTEE = "skactiveml QueryByCommittee"
METHODS = ("bait-f-p_pred", "lcmd-tp_pred", "maxdiag_pred")
LIMIT_SECONDS = 600
"""Time limit for one batch of a peer."""
SLOW_SECONDS = 10
"""A peer that takes longer is measured only once."""

Array = NDArray[np.float32]
Compute = Callable[[], Any]


def optional_module(name: str) -> ModuleType:
    """Import a module of scikit-learn or scikit-activeml. Raises BenchmarkError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BenchmarkError(f"black-box needs {name} ({error}): pip install -e '.[skactiveml]'") from None


def black_box(points: TrainingData, x_pool: Tensor, batch_size: int, repeats: int, with_peers: bool) -> Iterator[Row]:
    """Measure how long our methods and the peers take to select a batch for a forest fitted to the training points.

    The rows are: computing the trees' predictions on the pool, which most methods need; `METHODS`; `maxdist-tp` on the
    inputs, the rule of `GreedySamplingX`; and the peers. Query by committee uses the same variance as `maxdiag_pred`,
    so both must select the same points. If a peer fails, runs out of memory or takes longer than `LIMIT_SECONDS`, its
    row states the reason.
    """
    X, y, pool = points.X.numpy(), points.y.numpy(), x_pool.numpy()
    forest = optional_module("sklearn.ensemble").RandomForestRegressor(N_TREES, random_state=0).fit(X, y)
    batches: dict[str, list[Batch]] = {name: [] for name in METHODS}

    def ours(name: str) -> list[int]:
        batches[name].append(select_batch(name, forest, X, y, pool, batch_size, 0))
        return batches[name][-1].indices.tolist()

    computations: dict[str, Compute] = {
        f"predictions of {N_TREES} trees": lambda: len([tree.predict(pool) for tree in forest.estimators_]),
        **{name: partial(ours, name) for name in METHODS},
        "maxdist-tp of the inputs": lambda: select("maxdist-tp", pool, batch_size, 0, train=X).indices.tolist(),
    }
    peers = _peers(forest, X, y, pool, batch_size) if with_peers else {}
    once = {name: _attempt(peer) for name, peer in peers.items()}
    slow = {name: m for name, m in once.items() if isinstance(m, str) or m.seconds > SLOW_SECONDS}
    in_turn = {name: compute for name, compute in {**computations, **peers}.items() if name not in slow}
    timed = measure_in_turn(in_turn, repeats, torch.device("cpu"))
    measured: dict[str, Measured[Any] | str] = {**timed, **slow}
    for name in [*computations, *peers]:
        m, own = measured[name], batches.get(name, [])[-repeats:]
        row = Row("black-box", name, len(X), len(pool), batch_size, seconds=None)
        if isinstance(m, str):
            yield replace(row, failure=m)
            continue
        yield replace(
            row,
            seconds=m.seconds,
            peak_bytes=m.peak_bytes,
            same_indices=m.result == timed["maxdiag_pred"].result if name == COMMITTEE else None,
            kernel_seconds=statistics.median(batch.kernel_seconds for batch in own) if own else None,
            selection_seconds=statistics.median(batch.selection_seconds for batch in own) if own else None,
        )


def _peers(forest: Any, X: Array, y: Array, pool: Array, batch_size: int) -> dict[str, Compute]:
    """Return scikit-activeml's strategies on the same fitted forest. Strategies for regression only take no method."""
    strategies = optional_module("skactiveml.pool")
    model = optional_module("skactiveml.regressor").SklearnRegressor(forest)
    committee = strategies.QueryByCommittee(random_state=0)
    inputs = strategies.GreedySamplingX(random_state=0)
    target = strategies.GreedySamplingTarget(random_state=0)
    given = {"candidates": pool, "batch_size": batch_size}
    return {
        COMMITTEE: lambda: committee.query(X, y, model, fit_ensemble=False, **given).tolist(),
        "skactiveml GreedySamplingX": lambda: inputs.query(X, y, **given).tolist(),
        "skactiveml GreedySamplingTarget": lambda: target.query(X, y, model, fit_reg=False, **given).tolist(),
    }


def _attempt(compute: Compute) -> Measured[Any] | str:
    """Measure a computation once, within limits. Return the reason if it does not finish."""

    def limited() -> Any:
        with bounded(LIMIT_SECONDS):
            return compute()

    try:
        return measure_in_turn({"once": limited}, 1, torch.device("cpu"))["once"]
    except Exception as error:
        return str(error) if isinstance(error, MemoryError | TimeoutError) else f"{type(error).__name__}: {error}"

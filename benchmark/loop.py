"""The active-learning loop: train, test, select, label, again (arXiv 2203.09410, Algorithm 1).

Several splits go through the rounds together, with their networks in one stack, because this is fast on a GPU. Every
finished round is saved to disk, so an interrupted run only loses the round it was in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import BenchmarkError
from benchmark.metrics import Metrics, error_metrics
from benchmark.model import Fitted
from benchmark.randomness import generator
from benchmark.run import Run
from benchmark.split import Split, check_size, make_split, scale_inputs
from bmdal import Batch, select_batch
from bmdal.regressor.training import TrainingData
from cli.progress import Progress
from results.record import NO_SELECTION, RoundRecord, RunRecord

SPLITS_AT_ONCE = {"cpu": 1, "cuda": 20}
"""How many splits run together on each kind of device."""


@dataclass
class _SplitState:
    """The state of one split between rounds; `train` and `pool` are row numbers of the prepared data."""

    split: Split
    record: RunRecord
    X: Tensor  # scaled inputs of all rows, shape (n, d)
    y: Tensor  # shape (n,)
    train: NDArray[np.int64]
    pool: NDArray[np.int64]

    def label(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Move rows from the pool to the end of the training set."""
        self.train = np.concatenate([self.train, rows])
        self.pool = self.pool[~np.isin(self.pool, rows)]


@dataclass(frozen=True)
class Chunks:
    """How much is computed at once; `SMALL` is for the second attempt after memory ran out."""

    test_points: int = 8192
    features_on: str | None = None  # device of the pool's features; None: where the networks are


USUAL = Chunks()
SMALL = Chunks(test_points=512, features_on="cpu")


def run_splits(run: Run, splits: Sequence[int], progress: Progress, chunks: Chunks = USUAL) -> list[RunRecord]:
    """Run the splits that are not complete yet; each resumes after its last finished round.

    Args:
        run: what to run.
        splits: numbers of the splits.
        progress: where to report progress.
    Returns: the complete records, in the order of `splits`.

    Raises BenchmarkError if the data set is too small, an existing record has another configuration, or training
    diverges; RecordError if a record is damaged. All splits are checked before any training.
    """
    check_data(run)
    records = {number: run.open(number) for number in splits}
    for number, record in records.items():
        if len(record.rounds) > run.task.n_rounds and not record.complete:
            records[number] = run.save(record)
    todo = [number for number in splits if not records[number].complete]
    at_once = SPLITS_AT_ONCE[run.device.type]
    for start in range(0, len(todo), at_once):
        group = [_resume(run, records[number]) for number in todo[start : start + at_once]]
        for round_ in range(run.task.n_rounds + 1):
            states = [state for state in group if len(state.record.rounds) == round_]
            if not states:
                continue
            for state, finished in zip(states, _round(run, round_, states, progress, chunks), strict=True):
                state.record = run.save(replace(state.record, rounds=(*state.record.rounds, finished)))
                records[state.split.number] = state.record
                progress.line(
                    f"{run.data.name} {run.task.name} {run.method.name}: split {state.split.number}, "
                    f"round {round_}/{run.task.n_rounds}, {finished.n_train} training points, "
                    f"RMSE {finished.rmse:.4f}; {progress.left} left"
                )
    return [records[number] for number in splits]


def check_data(run: Run) -> None:
    """Raise BenchmarkError if the data set is too small for the task or a target is NaN or infinite."""
    check_size(len(run.data.y), run.data.n_test, run.task)
    if not np.isfinite(run.data.y).all():
        row = int(np.argmin(np.isfinite(run.data.y)))
        raise BenchmarkError(
            f"data set {run.data.name}: the target of row {row} is NaN or infinite; prepare it again with "
            f"`python -m data_prep dataset={run.data.name} overwrite=true`"
        )


def work_left(run: Run, record: RunRecord) -> float:
    """Return the remaining work of a split, in the units that `run_splits` reports to its progress."""
    return sum(_work(run, round_) for round_ in range(len(record.rounds), run.task.n_rounds + 1))


def _work(run: Run, round_: int) -> float:
    """Return the cost of a round in training points; a validation point costs a third of a training point."""
    return run.task.n_initial + round_ * run.task.batch_size + run.task.n_valid / 3


def _resume(run: Run, record: RunRecord) -> _SplitState:
    split = make_split(len(run.data.y), run.data.n_test, run.task, record.split)
    X = torch.from_numpy(scale_inputs(run.data.X, split)).to(run.device)
    y = torch.from_numpy(np.array(run.data.y)).to(run.device)
    state = _SplitState(split, record, X, y, split.train, split.pool)
    for finished in record.rounds:
        if finished.indices is not None:
            state.label(finished.indices)
    return state


def _round(
    run: Run, round_: int, states: Sequence[_SplitState], progress: Progress, chunks: Chunks
) -> list[RoundRecord]:
    start = time.perf_counter()
    trained = _train(run, round_, states, progress)
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    train_seconds = (time.perf_counter() - start) / len(states)
    finished = []
    for fitted, state in zip(trained, states, strict=True):
        metrics = _test(fitted, state, chunks)
        base = {"round": round_, "n_train": len(state.train), "train_seconds": train_seconds, **vars(metrics)}
        if round_ == run.task.n_rounds:
            finished.append(RoundRecord(**base, **NO_SELECTION))
            continue
        batch = _select(run, round_, fitted, state, chunks)
        rows = state.pool[batch.indices.numpy()]
        state.label(rows)
        finished.append(
            RoundRecord(
                **base,
                kernel_seconds=batch.kernel_seconds,
                selection_seconds=batch.selection_seconds,
                n_filled=batch.n_filled,
                effective_dimension=batch.effective_dimension,
                indices=tuple(int(row) for row in rows),
            )
        )
    return finished


def _train(run: Run, round_: int, states: Sequence[_SplitState], progress: Progress) -> list[Fitted]:
    splits = [state.split.number for state in states]
    points = [
        TrainingData(state.X[state.train], state.y[state.train], state.X[state.split.valid], state.y[state.split.valid])
        for state in states
    ]
    work, status = len(states) * _work(run, round_), _status(run, round_, states)
    try:
        return run.training.fit(
            splits,
            round_,
            points,
            run.method.n_models,
            lambda share, where: progress.advance(share * work, f"{status}{where}"),
        )
    except BenchmarkError as error:
        raise BenchmarkError(f"{run.method.name} on {run.data.name}, {error}") from None


def _status(run: Run, round_: int, states: Sequence[_SplitState]) -> str:
    rmse_before = [f"{s.record.rounds[-1].rmse:.4f}" for s in states if s.record.rounds]
    return f"split {', '.join(str(s.split.number) for s in states)}, round {round_}/{run.task.n_rounds}" + (
        f", RMSE {', '.join(rmse_before)}" if rmse_before else ""
    )


@torch.no_grad()
def _test(fitted: Fitted, state: _SplitState, chunks: Chunks) -> Metrics:
    parts = torch.split(torch.from_numpy(state.split.test), chunks.test_points)
    errors = [torch.cat([(f(state.X[rows]) - state.y[rows]).abs() for rows in parts]) for f in fitted.predict]
    return error_metrics(errors)


def _select(run: Run, round_: int, fitted: Fitted, state: _SplitState, chunks: Chunks) -> Batch:
    return select_batch(
        run.method,
        fitted.models,
        x_train=state.X[state.train],
        y_train=state.y[state.train],
        x_pool=state.X[state.pool],
        batch_size=run.task.batch_size,
        generator=generator(state.split.number, round_, "selection"),
        device=None if run.training.cpu_only else chunks.features_on,
        with_effective_dimension=True,
        distinct=False,  # as in the paper
    )

"""The loop of `bmdal suggest`, simulated: labels are appended round by round; random rows stand beside them.

For each data set, some rows count as labelled and others as candidates. In each round, `bmdal.suggest` chooses a batch,
its labels become known, and a model is fitted again; beside it, as many random rows are added. Errors are measured on
other rows. Before the first round, the labelled rows say what choosing will gain (`Suggestion.outlook`), and each
suggestion says which error to expect on the candidates; the table compares both with what happened.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig
from scipy import stats

from benchmark.errors import EXPECTED, BenchmarkError
from cli.options import describe_options, read_options
from cli.progress import with_progress
from cli.run import run_command
from data_prep import PreparedData, prepare
from data_prep.catalog import load_dataset
from results.render import Cell, Table, format_of, put_table

DATASETS = ["diamonds", "sgemm", "friedman"]


@dataclass(frozen=True)
class Loop:
    """One simulation.

    Attributes:
        chosen, random: log RMSE before the first round and after each, shape (n_rounds + 1,).
        predicted: mean and 95 % interval of the simulated gain before the first round, log RMSE minus that of random.
        expected: log of the error that suggestions expected on candidates minus that on test rows, shape (n_rounds,).
    """

    chosen: NDArray[np.float64]
    random: NDArray[np.float64]
    predicted: tuple[float, float, float]
    expected: NDArray[np.float64]


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status."""
    return run_command(arguments, lambda: describe_options("benchmark.suggest", __doc__ or ""), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("benchmark.suggest", arguments)
    format_of(options.output)  # an error now, not after the simulations
    jobs = [(name, seed) for name in list(options.dataset) or DATASETS for seed in range(options.n_repeats)]
    loops: dict[str, list[Loop]] = {}
    for name, seed in with_progress(jobs, "simulating"):
        data = prepare(load_dataset(name), Path(options.paths.data))
        loops.setdefault(name, []).append(_loop(options, data, seed))
    put_table(_table(options, loops), options.output)
    return 0


def _loop(options: DictConfig, data: PreparedData, seed: int) -> Loop:
    from bmdal.suggestion import suggest

    n, n_pool = options.n_labelled, options.n_labelled + options.n_candidates
    if n_pool + options.n_test > len(data.y):
        raise BenchmarkError(f"{data.name} has {len(data.y)} rows, fewer than {n_pool + options.n_test}")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data.y))[: n_pool + options.n_test]
    names = [f"input {i}" for i in range(data.X.shape[1])]
    table = pd.DataFrame(np.asarray(data.X[rows], dtype=np.float64), columns=names).assign(target=data.y[rows])
    pool, test = table[:n_pool], table[n_pool:]
    labelled, random = pool.index[:n], [*pool.index[:n], *rng.permutation(pool.index[n:])]
    inputs, errors, expected = pool.drop(columns="target"), [], []
    predicted = (float("nan"),) * 3
    for round_ in range(options.n_rounds):
        candidates = inputs.drop(index=labelled)
        suggestion = suggest(
            pool.loc[labelled],
            candidates,
            target="target",
            batch_size=options.batch_size,
            model=options.model,
            seed=seed,
        )
        if round_ == 0:
            if suggestion.outlook is not None and suggestion.outlook.gain is not None:
                predicted = suggestion.outlook.gain.interval
            errors.append(_log_error(options, pool.loc[labelled], test, seed))
        expected.append(np.log(suggestion.expected_errors[0]) - errors[-1])
        labelled = labelled.append(suggestion.rows.index)
        errors.append(_log_error(options, pool.loc[labelled], test, seed))
    sizes = [n + k * options.batch_size for k in range(options.n_rounds + 1)]
    of_random = [_log_error(options, pool.loc[random[:size]], test, seed) for size in sizes]
    return Loop(np.array(errors), np.array(of_random), predicted, np.array(expected))


def _log_error(options: DictConfig, labelled: pd.DataFrame, test: pd.DataFrame, seed: int) -> float:
    """Log RMSE on the test rows of the model that `suggest` fits to the labelled rows."""
    from bmdal.suggestion.models import Choice

    X, y = (labelled.drop(columns="target").to_numpy(), labelled[["target"]].to_numpy())
    mean, _ = Choice.of(options.model, None, True).fit(X, y, seed).predict(test.drop(columns="target").to_numpy())
    return float(np.log(np.sqrt(np.mean((mean - test[["target"]].to_numpy()) ** 2))))


def _table(options: DictConfig, loops: dict[str, list[Loop]]) -> Table:
    columns = (
        ("dataset", "Data set"),
        ("predicted", "predicted for one batch"),
        ("verdicts", "pays / cannot be told / does not"),
        ("first", "gained after one batch"),
        ("first_margin", "± 95 %"),
        ("last", f"gained after {options.n_rounds}"),
        ("last_margin", "± 95 %"),
        ("expected", "expected error / error"),
    )
    rows = []
    for name, some in loops.items():
        gained = np.array([loop.chosen - loop.random for loop in some])
        predicted = np.array([loop.predicted for loop in some])
        pays, does_not = predicted[:, 2] < 0, predicted[:, 1] > 0
        verdicts = [pays.sum(), (~pays & ~does_not).sum(), does_not.sum()]
        cells = [Cell(name), Cell(float(predicted[:, 0].mean())), Cell(" / ".join(map(str, verdicts)))]
        for part in (gained[:, 1], gained[:, -1]):
            margin = stats.t.ppf(0.975, len(part) - 1) * stats.sem(part) if len(part) > 1 else np.nan
            cells += [Cell(float(part.mean())), Cell(float(margin))]
        rows.append((*cells, Cell(float(np.exp(np.mean([loop.expected for loop in some]))), digits=2)))
    note = (
        f"log RMSE minus that of as many random rows: {options.model}, {options.n_labelled} labelled rows at the "
        f"start, {options.n_candidates} candidates, batches of {options.batch_size}, {options.n_repeats} repetitions"
    )
    return Table("suggest", "What choosing with bmdal suggest gains", columns, tuple(rows), notes=(note,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

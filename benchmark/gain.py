"""Will active learning pay? Predict what a method gains from labelled points alone, and compare with run records.

For each data set, some points count as labelled, and the choice of a batch is simulated on them
(`bmdal.regressor.simulate_gain`). Beside it is what the method gained in the records under <paths.runs>: the mean
difference of its log RMSE to that of random selection, over rounds and splits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from benchmark.errors import EXPECTED, BenchmarkError
from bmdal import Method
from cli.options import describe_options, read_options
from cli.progress import with_progress
from cli.run import run_command
from data_prep import PreparedData, prepare
from data_prep.catalog import load_dataset
from results.aggregate import GROUP, common_part
from results.errors import NoRecordsError
from results.load import load_records
from results.methods import RANDOM
from results.render import Cell, Table, format_of, put_table
from results.statistics import paired_differences

DATASETS = ["sgemm", "fried", "diamonds"]


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status."""
    return run_command(arguments, lambda: describe_options("benchmark.gain", __doc__ or ""), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("benchmark.gain", arguments)
    Method.from_name(options.method)
    format_of(options.output)  # an error now, not after the simulations
    gained = _gained(options)
    rows = []
    for name in with_progress(list(options.dataset) or DATASETS, "simulating"):
        data = prepare(load_dataset(name), Path(options.paths.data))
        rows.append((Cell(name), *_predicted(options, data), *gained.get(name, (Cell(None),) * 4)))
    put_table(_table(options, tuple(rows)), options.output)
    return 0


def _predicted(options: DictConfig, data: PreparedData) -> tuple[Cell, ...]:
    from sklearn.ensemble import RandomForestRegressor

    from bmdal.regressor import NetworkRegressor, simulate_gain

    n_other = len(data.y) - data.n_test
    if not options.n_labels <= n_other:
        raise BenchmarkError(f"n_labels must be at most {n_other}, the points of {data.name}; got {options.n_labels}")
    rows = np.random.RandomState(options.split).permutation(len(data.y))[: options.n_labels]  # as `make_split` has them
    estimator = RandomForestRegressor() if options.method.endswith("_pred") else NetworkRegressor()
    gain = simulate_gain(
        options.method, estimator, data.X[rows], data.y[rows], options.batch_size, n_repeats=options.n_repeats
    )
    mean, low, high = gain.interval
    return Cell(mean), Cell(low), Cell(high), Cell(gain.worth if np.isfinite(gain.worth) else "more", digits=0)


def _gained(options: DictConfig) -> dict[str, tuple[Cell, ...]]:
    """Return the mean difference of log RMSE to random selection and its interval on each data set with such records.

    These are records of the same kind of model, a forest or a ReLU network, and the last cell names their experiment
    and task. If several have both methods on a common split, the one with most runs counts. Raises RecordError for a
    damaged record.
    """
    of_model = r"n_trees=" if options.method.endswith("_pred") else r"activation=relu\b"
    try:
        records = load_records(options.paths.runs)
    except NoRecordsError:
        return {}
    gained = {}
    records = records[records["training"].astype(str).str.match(of_model)]
    for name, part in records[records["method"].isin([options.method, RANDOM])].groupby("dataset", observed=True):
        both = [
            (group, "/".join(map(str, key)))
            for key, group in part.groupby(GROUP, observed=True)
            if group.groupby("split")["method"].nunique().max() == 2
        ]
        if both:
            group, place = max(both, key=lambda one: len(one[0]))
            row = paired_differences(common_part(group).frame, "rmse", RANDOM).iloc[0]
            gained[str(name)] = (*(Cell(float(row[key])) for key in ("difference", "low", "high")), Cell(place))
    return gained


def _table(options: DictConfig, rows: tuple[tuple[Cell, ...], ...]) -> Table:
    columns = (
        ("dataset", "Data set"),
        ("predicted", "predicted"),
        ("low", "95 % from"),
        ("high", "to"),
        ("worth", f"random labels that {options.batch_size} are worth"),
        ("gained", "gained in the records"),
        ("gained_low", "95 % from"),
        ("gained_high", "to"),
        ("records", "records of"),
    )
    note = (
        f"log RMSE minus that of random selection; predicted for one batch of {options.batch_size} from "
        f"{options.n_labels} labelled points, {options.n_repeats} simulations; gained: mean over rounds and splits, "
        "interval by resampling splits"
    )
    return Table("gain", f"What {options.method} gains on random selection", columns, rows, notes=(note,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

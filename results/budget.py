"""Which data sets, and how many splits and rounds, predict the published ranking best in a given time.

Everything is computed from the records of one experiment and task: fewer data sets, splits or rounds are a part of
them, since a task with fewer rounds begins in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from results.agreement import published_values, spearman
from results.errors import ResultsError
from results.render import Cell, Table

MOST_DATASETS = 6
"""With more, there are too many choices to go through."""


@dataclass(frozen=True)
class Choice:
    """A part of the records.

    `minutes` is the recorded time of all its runs together, and `spearman` the rank correlation with the published
    means. Both are averaged over the disjoint groups of `n_splits` splits that the records contain.
    """

    datasets: tuple[str, ...]
    n_splits: int
    n_rounds: int
    minutes: float
    spearman: float


def choices(common: pd.DataFrame, methods: Sequence[str], metric: str) -> list[Choice]:
    """Return all choices, cheapest first: the correlation is over all published methods, the time that of `methods`.

    `common` is a common part of one experiment and task. Raises ResultsError for more than six data sets or fewer than
    three published methods, and for a method without records.
    """
    if missing := set(methods) - set(common["method"]):
        raise ResultsError(f"no time is known for {', '.join(sorted(missing))}: too few records; choose other methods")
    datasets = sorted(str(dataset) for dataset in common["dataset"].unique())
    if len(datasets) > MOST_DATASETS:
        raise ResultsError(f"at most {MOST_DATASETS} data sets, got {len(datasets)}; choose some with dataset=a,b")
    found = []
    for n_rounds in range(1, common["round"].max() + 1):
        values, published = published_values(common[common["round"] <= n_rounds], metric)
        seconds = run_seconds(common, n_rounds)[list(methods)].sum(axis=1)
        for n_datasets in range(1, len(datasets) + 1):
            for chosen in map(list, combinations(datasets, n_datasets)):
                splits = _shared_splits(values.loc[chosen])
                for n_splits in range(1, len(splits) + 1):
                    groups = [splits[i : i + n_splits] for i in range(0, len(splits) - n_splits + 1, n_splits)]
                    cells = [values.loc[(chosen, group), :].groupby(level="dataset", observed=True) for group in groups]
                    correlation = np.mean([spearman(cell.mean().mean(), published) for cell in cells])
                    minutes = np.mean([seconds.loc[(chosen, group)].sum() / 60 for group in groups])
                    found.append(Choice(tuple(chosen), n_splits, n_rounds, float(minutes), float(correlation)))
    return sorted(found, key=lambda choice: (choice.minutes, -choice.spearman))


def best_within(found: Sequence[Choice], minutes: float) -> Choice:
    """Return the choice of highest correlation that takes at most so many minutes, the cheapest of several.

    Raises ResultsError if there is none.
    """
    affordable = [choice for choice in found if choice.minutes <= minutes]
    if not affordable:
        raise ResultsError(f"budget={minutes:g} minutes are too few: the cheapest choice takes {found[0].minutes:.2f}")
    return max(affordable, key=lambda choice: (choice.spearman, -choice.minutes))


def budget_table(
    common: pd.DataFrame, methods: Sequence[str], metric: str, minutes: int, title: str, notes: tuple[str, ...]
) -> Table:
    """Make a table of all choices, cheapest first; the notes name the best one within the budget and how to run it."""
    found = choices(common, methods, metric)
    best = best_within(found, minutes)
    columns = (
        ("datasets", "Data sets"),
        ("splits", "Splits"),
        ("rounds", "Rounds"),
        ("minutes", "Minutes"),
        ("spearman", "Spearman"),
        ("best", f"Within {minutes} min"),
    )
    rows = tuple(
        (
            Cell(", ".join(choice.datasets)),
            Cell(choice.n_splits),
            Cell(choice.n_rounds),
            Cell(choice.minutes, digits=2),
            Cell(choice.spearman),
            Cell("best" if choice is best else ""),
        )
        for choice in found
    )
    n_ranked = len(published_values(common, metric)[1])
    command = (
        f"to run the best choice: python -m benchmark -m experiment.name=quick-{common['experiment'].iloc[0]} "
        f"task.batch_size={str(common['task'].iloc[0]).split('x')[0]} task.n_rounds={best.n_rounds} "
        f"dataset={','.join(best.datasets)} 'splits=[{','.join(map(str, range(best.n_splits)))}]' "
        f"method={','.join(methods)}, plus any other options of these runs"
    )
    rules = (
        f"minutes: of {len(methods)} methods in one process on {main_device(common)}, by the recorded seconds"
        f"{'' if common['timed_alone'].all() else ' (not timed alone)'}; starting the process is not in them",
        f"Spearman: correlation of the ranking of the records with the published one over {n_ranked} methods; like the "
        "minutes, a mean over the disjoint groups of so many splits",
        f"the best of {len(found)} choices looks better than it is, since it is chosen and judged by the same records",
        command,
    )
    return Table(f"budget_{metric}", title, columns, rows, notes=(*rules, *notes))


def main_device(frame: pd.DataFrame) -> str:
    """Return the device that most runs used."""
    return str(frame["device"].astype(str).mode()[0])


def run_seconds(frame: pd.DataFrame, n_rounds: int) -> pd.DataFrame:
    """Return the seconds of each run in rounds 0 to `n_rounds`, with rows (data set, split) and a column per method.

    The last round only trains. A run on another device than `main_device` counts as the average of the other methods on
    its data set and split. Raises ResultsError if there are none.
    """
    rounds = frame[frame["round"] <= n_rounds]
    selects = rounds["round"] < n_rounds
    spent = rounds["train_seconds"] + (rounds["kernel_seconds"] + rounds["selection_seconds"]).where(selects, 0)
    device = main_device(frame)
    run = [rounds["dataset"].astype(str), rounds["split"], rounds["method"].astype(str)]
    table = (
        spent.where(rounds["device"].astype(str) == device).groupby(run).sum(min_count=n_rounds + 1).unstack("method")
    )
    average = table.mean(axis=1)
    if average.isna().any():
        dataset, split = average.index[average.isna()][0]
        raise ResultsError(
            f"no run on {dataset}, split {split}, was made on {device}, as most were; choose with dataset="
        )
    return table.T.fillna(average).T


def _shared_splits(values: pd.DataFrame) -> list[int]:
    there = values.groupby(level="split").size()
    return sorted(int(split) for split in there.index[there == there.max()])

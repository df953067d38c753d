"""Aggregate rounds to the reported numbers: means over rounds, then splits, then data sets, with standard errors.

This is the protocol of arXiv 2203.09410, Section 5 and Appendix E.4. Data sets count as fixed, so only the splits
contribute to the standard error:

    mean = mean over data sets of (mean over splits of value)
    stderr = sqrt(sum over data sets of var_over_splits / n_splits) / n_data_sets      (population variance)

There is no standard error unless every data set has at least two splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.errors import ResultsError
from results.record import METRICS

GROUP = ["experiment", "task"]
_RUN = [*GROUP, "dataset", "method", "split"]


@dataclass(frozen=True)
class CommonPart:
    """The rows of the runs that all methods have in common, and notes on what was left out."""

    frame: pd.DataFrame
    notes: tuple[str, ...]


def run_values(
    frame: pd.DataFrame, *, metrics: Sequence[str] = METRICS, final: bool = False, log: bool = True
) -> pd.DataFrame:
    """Return a row per run: the mean of each metric (or its natural log) over rounds 1..n, or its value in round n."""
    rounds = frame[frame["round"] > 0]
    if final:
        rounds = rounds[rounds["round"] == rounds.groupby(_RUN, observed=True)["round"].transform("max")]
    values = rounds[_RUN].copy()
    for metric in metrics:
        values[metric] = np.log(rounds[metric]) if log else rounds[metric]
    return values.groupby(_RUN, observed=True, as_index=False).mean()


def mean_and_stderr(values: pd.DataFrame, columns: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Average columns over splits, then over data sets, with standard errors.

    `values` has one row per (`by`, data set, split). The result has one row per `by`, with columns `<column>`,
    `<column>_stderr` (NaN if a data set has a single split), `n_datasets` and `n_runs`.
    """
    per_dataset = values.groupby([*by, "dataset"], observed=True)[list(columns)]
    n_splits = per_dataset.size()
    variance = per_dataset.var(ddof=0).div(n_splits, axis=0).groupby(level=list(by), observed=True)
    over_datasets = per_dataset.mean().groupby(level=list(by), observed=True)
    mean, n_datasets = over_datasets.mean(), over_datasets.size()
    has_error = n_splits.groupby(level=list(by), observed=True).min() > 1
    stderr = variance.sum().pow(0.5).div(n_datasets, axis=0).add_suffix("_stderr").where(has_error)
    counts = {"n_datasets": n_datasets, "n_runs": n_splits.groupby(level=list(by), observed=True).sum()}
    ordered = [name for column in columns for name in (column, f"{column}_stderr")]
    return pd.concat([mean, stderr], axis=1)[ordered].assign(**counts).reset_index()


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per (experiment, task, method) with `log_<metric>`, `log_<metric>_stderr` and `seconds` per batch.

    The frame should be a common part (`common_part`); otherwise methods are averaged over different runs.
    """
    by = [*GROUP, "method"]
    values = run_values(frame).rename(columns={metric: f"log_{metric}" for metric in METRICS})
    summary = mean_and_stderr(values, [f"log_{metric}" for metric in METRICS], by)
    return summary.merge(selection_seconds(frame), on=by, how="left")


def selection_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean seconds of kernel and selection per batch, over runs timed alone or, if there are none, all."""
    timed = frame[frame["timed_alone"]]
    timed = frame if timed.empty else timed
    batches = timed[[*GROUP, "dataset", "method"]].assign(seconds=timed["kernel_seconds"] + timed["selection_seconds"])
    per_dataset = batches.groupby([*GROUP, "method", "dataset"], observed=True)["seconds"].mean()
    return per_dataset.groupby(level=[*GROUP, "method"], observed=True).mean().reset_index()


def learning_curves(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a row per (method, n_train) of one experiment and task: `log`, `log_stderr`, `n_datasets`, `n_runs`."""
    values = frame[["method", "n_train", "dataset", "split"]].assign(log=np.log(frame[metric]))
    return mean_and_stderr(values, ["log"], ["method", "n_train"])


def common_part(frame: pd.DataFrame, columns: Sequence[str] = ("method",)) -> CommonPart:
    """Keep the runs on the (data set, split) pairs that every method has, or every (method, task) with these columns.

    As long as no pair is shared by all, the method with the fewest runs is left out. The notes list everything that is
    missing. Raises ResultsError if runs of the same task have different numbers of rounds or of labels at the start.
    """
    _check_starts(frame, ())
    frame, there = _presence(frame, columns)
    shared, notes = _shared(there)
    return _chosen_part(frame, there, [shared], notes)


def common_part_by_dataset(frame: pd.DataFrame, columns: Sequence[str] = ("method",)) -> CommonPart:
    """Keep, on each data set separately, the runs on the splits shared by all methods that have run on it.

    This is for tables and figures that show each data set separately, where a method may be missing on some. Otherwise
    the same as `common_part`, except that data sets may start with different numbers of labels.
    """
    _check_starts(frame, ("dataset",))
    frame, there = _presence(frame, columns)
    parts, notes = [], []
    for dataset, part in there.groupby(level="dataset", observed=True):
        shared, left_out = _shared(part.loc[:, part.any()])
        parts.append(shared)
        notes += [f"{dataset}: {note}" for note in left_out]
    return _chosen_part(frame, there, parts, notes)


def _presence(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the columns into a column `series`, and return the frame and a table (data set, split) x series of bools.

    The table says which runs exist. Raises ResultsError if runs of the same task have different numbers of rounds.
    """
    _check_rounds(frame)
    texts = frame[list(columns)].astype(str)
    first, others = texts.iloc[:, 0], texts.iloc[:, 1:]
    frame = frame.assign(series=first if others.empty else first.str.cat(others, sep=" "))
    runs = frame[["dataset", "split", "series"]].drop_duplicates().assign(there=True)
    there = runs.pivot_table(index=["dataset", "split"], columns="series", values="there", observed=True).notna()
    return frame, there


def _shared(there: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that all series share, without the series that were left out, and notes on the latter."""
    notes = []
    while not there.all(axis=1).any():
        fewest = there.sum().idxmin()
        notes.append(f"{fewest} is left out: too few of its runs are shared with the others")
        there = there.drop(columns=fewest)
    return there[there.all(axis=1)], notes


def _chosen_part(frame: pd.DataFrame, there: pd.DataFrame, parts: list[pd.DataFrame], notes: list[str]) -> CommonPart:
    """Return the rows of `frame`, which has a column `series`, in some parts of the grid `there`."""
    chosen = pd.concat([part.stack() for part in parts]).index
    kept = frame[pd.MultiIndex.from_frame(frame[["dataset", "split", "series"]]).isin(chosen)]
    missing = [_missing_note(str(name), there[name]) for name in there if not there[name].all()]
    if not missing:
        return CommonPart(kept.drop(columns="series"), ())
    n_splits = (
        chosen.to_frame(index=False)[["dataset", "split"]].drop_duplicates().groupby("dataset", observed=True).size()
    )
    over = ", ".join(f"{dataset} ({n} splits)" for dataset, n in n_splits.items())
    notes = [*missing, *_command_notes(frame, there), *notes, f"averaged over the common part only: {over}"]
    return CommonPart(kept.drop(columns="series"), tuple(notes))


def _check_rounds(frame: pd.DataFrame) -> None:
    last = frame.groupby(_RUN, observed=True)["round"].max().reset_index()
    for (experiment, task), runs in last.groupby(GROUP, observed=True):
        if runs["round"].nunique() == 1:
            continue
        lengths = runs.groupby("round")["method"].agg(["size", "first"])
        found = "; ".join(f"{row['size']} with {n} rounds (such as {row['first']})" for n, row in lengths.iterrows())
        raise ResultsError(
            f"the runs of experiment {experiment}, task {task} cannot be averaged: {found}; "
            "choose methods or data sets of one length with `method=` or `dataset=`"
        )


def _check_starts(frame: pd.DataFrame, by: Sequence[str]) -> None:
    """Raise ResultsError if runs that are averaged or compared start with different numbers of labels."""
    starts = frame[frame["round"] == 0][[*GROUP, "dataset", "method", "n_train"]].drop_duplicates()
    for (experiment, task, *_), runs in starts.groupby([*GROUP, *by], observed=True):
        if runs["n_train"].nunique() > 1:
            some = runs.drop_duplicates("n_train")
            found = "; ".join(f"{row.n_train} ({row.method} on {row.dataset})" for row in some.itertuples())
            raise ResultsError(
                f"the runs of experiment {experiment}, task {task} start with different numbers of labels: "
                f"{found}; choose methods or data sets of one number with `method=` or `dataset=`"
            )


def _missing_note(series: str, there: pd.Series) -> str:
    missing = there[~there].reset_index().groupby("dataset", observed=True)["split"].agg(list)
    places = ", ".join(f"{dataset} (splits {_ranges(splits)})" for dataset, splits in missing.items())
    return f"{series} lacks {(~there).sum()} of {len(there)} runs: {places}"


def _command_notes(frame: pd.DataFrame, there: pd.DataFrame) -> Iterator[str]:
    """Return the commands that run what is missing, one per experiment and task. They do not repeat existing runs."""
    incomplete = frame[frame["series"].isin(there.columns[~there.all()])]
    for (experiment, task), part in incomplete.groupby(GROUP, observed=True):
        lacking = there[part["series"].unique()]
        missing = lacking[~lacking.all(axis=1)]
        datasets, splits = (sorted(missing.index.unique(level)) for level in ("dataset", "split"))
        batch_size, n_rounds = str(task).split("x")
        yield (
            f"to run what is missing: python -m benchmark -m experiment.name={experiment} "
            f"task.batch_size={batch_size} task.n_rounds={n_rounds} "
            f"dataset={','.join(datasets)} method={','.join(sorted(part['method'].unique()))} "
            f"'splits=[{','.join(map(str, splits))}]', plus any other options of the existing runs"
        )


def _ranges(numbers: Sequence[int]) -> str:
    """Format numbers as ranges: `0-3, 7` for 0, 1, 2, 3, 7."""
    numbers = sorted(numbers)
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))

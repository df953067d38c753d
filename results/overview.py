"""Overview of the runs: the grid and its completeness, devices, versions and computing time."""

from __future__ import annotations

import pandas as pd

from results.aggregate import GROUP
from results.load import RUN_KEYS
from results.render import Cell, Table

_ENVIRONMENT = ("device", "torch", "numpy", "python", "code_version")


def overview_table(frame: pd.DataFrame) -> Table:
    """Make a table with one row per experiment and task: methods, data sets, splits, runs, hours, environment."""
    columns = (
        ("experiment", "Experiment"),
        ("task", "Task"),
        ("methods", "Methods"),
        ("datasets", "Data sets"),
        ("splits", "Splits"),
        ("runs", "Runs"),
        ("complete", "of the grid"),
        ("hours", "Hours"),
        ("first", "First start"),
        ("last", "Last end"),
        *((name, name.replace("_", " ")) for name in _ENVIRONMENT),
    )
    rows = tuple(
        (Cell(str(experiment)), Cell(str(task)), *_cells(part))
        for (experiment, task), part in frame.groupby(GROUP, observed=True)
    )
    note = "the grid: every method on every data set and split that any method has; hours: training, kernel, selection"
    return Table("overview", "What ran", columns, rows, notes=(note,))


def _cells(part: pd.DataFrame) -> list[Cell]:
    values: list[float | int | str] = [*_extent(part), *_period(part), *_environment(part)]
    return [Cell(value) for value in values]


def _extent(part: pd.DataFrame) -> tuple[int, int, int, int, str, float]:
    n_methods, n_datasets, n_splits = (part[key].nunique() for key in ("method", "dataset", "split"))
    n_runs = len(part[list(RUN_KEYS)].drop_duplicates())
    seconds = part[["train_seconds", "kernel_seconds", "selection_seconds"]].sum().sum()
    share = f"{100 * n_runs / (n_methods * n_datasets * n_splits):.0f} %"
    return n_methods, n_datasets, n_splits, n_runs, share, float(seconds) / 3600


def _period(part: pd.DataFrame) -> tuple[str, str]:
    finished = part["finished"].dropna().astype(str)
    return str(part["started"].astype(str).min())[:16], (finished.max() if len(finished) else "–")[:16]


def _environment(part: pd.DataFrame) -> list[str]:
    return [", ".join(sorted(part[name].astype(str).unique())) for name in _ENVIRONMENT]

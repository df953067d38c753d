"""Which table shows what: from the records of possibly several experiments to finished tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from results.aggregate import GROUP, common_part, summarize
from results.methods import LITERATURE, selected_methods
from results.published import PUBLISHED_DATASETS, is_published_grid, load_published, published_name
from results.render import Table
from results.tables import METRIC_NAMES, literature_table, methods_table, per_dataset_table


@dataclass(frozen=True)
class Request:
    """The records of one experiment and task, and what a table of them is to show."""

    experiment: str
    task: str
    frame: pd.DataFrame
    metric: str
    reference: str

    @property
    def where(self) -> str:
        """How titles name the experiment and task."""
        return f"{self.experiment}, {self.task}"


def compose_tables(frame: pd.DataFrame, wanted: str, metric: str, reference: str) -> list[Table]:
    """The wanted table (or all) of every (experiment, task) of the records."""
    tables = []
    for (experiment, task), part in frame.groupby(GROUP, observed=True):
        request = Request(experiment, task, part, metric, reference)
        for name, make in TABLES.items():
            if wanted in (name, "all"):
                tables += [replace(t, name=f"{experiment}_{task}_{t.name}") for t in make(request)]
    return tables


def _methods(request: Request) -> list[Table]:
    common = common_part(request.frame)
    matches = is_published_grid(request.task, set(common.frame["dataset"]))
    published = load_published(published_name(request.experiment)) if matches else None
    title = f"Mean log metrics over rounds, splits and data sets ({request.where})"
    notes = (_coverage(common.frame), *common.notes)
    return [methods_table(summarize(common.frame), title, published=published, notes=notes)]


def _literature(request: Request) -> list[Table]:
    chosen = request.frame[request.frame["method"].isin(list(LITERATURE))]
    if chosen.empty:
        return []
    common = common_part(chosen)
    title = f"Methods of the literature, by mean log RMSE ({request.where})"
    return [literature_table(summarize(common.frame), title, notes=(_coverage(common.frame), *common.notes))]


def _per_dataset(request: Request) -> list[Table]:
    present = list(request.frame["method"].unique())
    chosen = request.frame[request.frame["method"].isin(selected_methods(request.experiment, present))]
    common = common_part(chosen)
    tables = []
    for log in (True, False):
        for final in (False, True):
            what = f"{'mean log' if log else 'mean'} {METRIC_NAMES[request.metric]}"
            title = f"{what} {'after the last round' if final else 'over rounds'} ({request.where})"
            notes = (_coverage(common.frame), *common.notes)
            tables.append(
                per_dataset_table(common.frame, request.metric, final=final, log=log, title=title, notes=notes)
            )
    return tables


def _coverage(frame: pd.DataFrame) -> str:
    datasets = sorted(frame["dataset"].unique())
    n_splits = frame[["dataset", "split"]].drop_duplicates().groupby("dataset", observed=True).size()
    splits = str(n_splits.iloc[0]) if n_splits.nunique() == 1 else f"{n_splits.min()}-{n_splits.max()}"
    n_published = len(set(datasets) & set(PUBLISHED_DATASETS))
    names = ", ".join(datasets)
    return f"data sets: {names} ({n_published} of the 15 published); splits of each: {splits}"


TABLES: dict[str, Callable[[Request], list[Table]]] = {
    "methods": _methods,
    "literature": _literature,
    "per_dataset": _per_dataset,
}

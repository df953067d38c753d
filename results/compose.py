"""Compose the tables from the records of one or several experiments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from results.aggregate import GROUP, CommonPart, common_part, common_part_by_dataset, summarize
from results.budget import budget_table
from results.datasets import datasets_table
from results.errors import ResultsError
from results.methods import LITERATURE, selected_methods
from results.models import models_table
from results.published import (
    PUBLISHED_DATASETS,
    PUBLISHED_R2,
    differs_from_published,
    load_published,
    only_published,
    published_counterpart,
)
from results.render import Table
from results.savings import savings
from results.statistics_tables import (
    agreement_tables,
    comparison_table,
    paired_table,
    prediction_table,
    ranks_table,
    savings_table,
    wins_table,
)
from results.tables import METRIC_NAMES, literature_table, methods_table, per_dataset_table

_NAMES_SHOWN = 5
_HASH_TAIL = re.compile(r"(?<=\b[0-9a-f]{8})[0-9a-f]+")


@dataclass(frozen=True)
class Request:
    """The records of one experiment and task, and what a table of them should show."""

    frame: pd.DataFrame
    metric: str
    reference: str
    all_methods: bool

    @property
    def selected(self) -> pd.DataFrame:
        """The records of the methods that the paper selects, or of all if the user chose them."""
        if self.all_methods:
            return self.frame
        methods = selected_methods(published_counterpart(self.frame), list(self.frame["method"].unique()))
        return self.frame[self.frame["method"].isin(methods)]

    @property
    def experiment(self) -> str:
        """The experiment of the records."""
        return str(self.frame["experiment"].iloc[0])

    @property
    def task(self) -> str:
        """The task of the records."""
        return str(self.frame["task"].iloc[0])

    @property
    def where(self) -> str:
        """The experiment and task, for titles."""
        return f"{self.experiment}, {self.task}"


def compose_tables(
    frame: pd.DataFrame,
    wanted: str,
    metric: str,
    reference: str,
    *,
    all_methods: bool,
    left_out: list[str] | None = None,
) -> list[Table]:
    """Make the wanted table, or `all`, for every (experiment, task) of the records.

    Tables of selected methods show all methods with `all_methods`, and otherwise the paper's selection.

    Raises ResultsError if a table cannot be made from the records; with a list `left_out`, appends the reason to it.
    """
    makers = [maker for name, maker in _makers(frame, metric, reference, all_methods) if wanted in (name, "all")]
    tables = []
    for make in makers:
        try:
            tables += make()
        except ResultsError as error:
            if left_out is None:
                raise
            left_out.append(str(error))
    return tables


def _makers(
    frame: pd.DataFrame, metric: str, reference: str, all_methods: bool
) -> Iterator[tuple[str, Callable[[], list[Table]]]]:
    for _, part in frame.groupby(GROUP, observed=True):
        request = Request(part, metric, reference, all_methods)
        for name, make in TABLES.items():
            yield name, partial(_make_named, make, request)
    yield PREDICTION, lambda: [prediction_table(frame)]
    yield MODELS, lambda: [models_table(part, metric, reference) for _, part in frame.groupby("task", observed=True)]


def _make_named(make: Callable[[Request], list[Table]], request: Request) -> list[Table]:
    return [replace(table, name=f"{request.experiment}_{request.task}_{table.name}") for table in make(request)]


def published_tables() -> list[Table]:
    """Make the published method tables and rankings of the methods from the literature, which need no records."""
    tables = []
    for name in PUBLISHED_R2:
        summary = load_published(name)
        title = f"{name}, 256x16, 15 data sets, 20 splits, as published"
        made = (
            methods_table(summary, f"Mean log metrics ({title})"),
            literature_table(summary, f"Methods of the literature by mean log RMSE ({title})"),
        )
        tables += [replace(table, name=f"published_{name}_{table.name}") for table in made]
    return tables


def budget_tables(frame: pd.DataFrame, methods: Sequence[str], metric: str, minutes: int) -> list[Table]:
    """Make a table for each (experiment, task) of what predicts the published ranking best in so many minutes.

    The time is that of `methods`, or of all methods if there are none.
    """
    tables = []
    for (experiment, task), part in frame.groupby(GROUP, observed=True):
        common = common_part(part)
        timed = list(methods) or [str(method) for method in common.frame["method"].unique()]
        title = f"Prediction of the published ranking by part of the records ({experiment}, {task})"
        made = budget_table(common.frame, timed, metric, minutes, title, coverage(common))
        tables.append(replace(made, name=f"{experiment}_{task}_{made.name}"))
    return tables


def _methods(request: Request) -> list[Table]:
    common = _beside_published(request.frame)
    reason = differs_from_published(common.frame)
    published = None if reason else load_published(published_counterpart(request.frame))
    title = f"Mean log metrics over rounds, splits and data sets ({request.where})"
    unlike = (f"no published numbers for comparison: {reason}",) if reason else ()
    return [methods_table(summarize(common.frame), title, published=published, notes=(*coverage(common), *unlike))]


def _literature(request: Request) -> list[Table]:
    chosen = request.frame[request.frame["method"].isin(list(LITERATURE))]
    if chosen.empty:
        raise ResultsError(
            f"{request.where}: no method of the literature has run: {', '.join(LITERATURE)}; "
            f"`python -m benchmark -m experiment.name={request.experiment} method=...` runs them"
        )
    common = common_part(chosen)
    title = f"Methods of the literature by mean log RMSE ({request.where})"
    return [literature_table(summarize(common.frame), title, notes=coverage(common))]


def _per_dataset(request: Request) -> list[Table]:
    common = common_part_by_dataset(request.selected)
    tables = []
    for log in (True, False):
        for final in (False, True):
            what = f"{'Mean log' if log else 'Mean'} {METRIC_NAMES[request.metric]}"
            title = f"{what} {'after the last round' if final else 'over rounds'} ({request.where})"
            tables.append(
                per_dataset_table(
                    common.frame, request.metric, final=final, log=log, title=title, notes=coverage(common)
                )
            )
    return tables


def _paired(request: Request) -> list[Table]:
    common = common_part(request.frame)
    title = f"Paired differences of the mean log {METRIC_NAMES[request.metric]} ({request.where})"
    return [paired_table(common.frame, request.metric, request.reference, title, coverage(common))]


def _savings(request: Request) -> list[Table]:
    common = common_part(request.frame)
    found = savings(common.frame, request.metric, request.reference)
    title = f"Labels saved compared with {request.reference}, mean log {METRIC_NAMES[request.metric]} ({request.where})"
    return [savings_table(found, request.metric, title, coverage(common))]


def _ranks(request: Request) -> list[Table]:
    common = common_part(request.selected)
    title = f"Ranks by mean log {METRIC_NAMES[request.metric]} over data sets ({request.where})"
    return [ranks_table(common.frame, request.metric, title, coverage(common))]


def _wins(request: Request) -> list[Table]:
    common = common_part(request.selected)
    title = f"Wins, ties and losses by mean log {METRIC_NAMES[request.metric]} ({request.where})"
    return [wins_table(common.frame, request.metric, title, coverage(common))]


def _comparison(request: Request) -> list[Table]:
    common = _beside_published(request.frame)
    title = f"Comparison with the published {published_counterpart(request.frame)} numbers ({request.where})"
    return [comparison_table(common.frame, request.metric, title, coverage(common))]


def _agreement(request: Request) -> list[Table]:
    common = _beside_published(request.frame)
    title = f"mean log {METRIC_NAMES[request.metric]} ({request.where})"
    return agreement_tables(common.frame, request.metric, title, coverage(common))


def _beside_published(frame: pd.DataFrame) -> CommonPart:
    """Return the common part, only of the published data sets if all of them have run, with a note on the others."""
    comparable = only_published(frame)
    common = common_part(comparable)
    others = sorted(set(frame["dataset"]) - set(comparable["dataset"]))
    note = f"left out, to be comparable with the published means: data sets {', '.join(others)}"
    return replace(common, notes=(*common.notes, note)) if others else common


def coverage(common: CommonPart) -> tuple[str, ...]:
    """Return notes on the data sets and splits that a table averages over, missing runs, and mixtures of conditions."""
    datasets = sorted(common.frame["dataset"].unique())
    cells = common.frame[["dataset", "split"]].drop_duplicates()
    n_splits = cells.groupby("dataset", observed=True).size()
    splits = f"{n_splits.min()}" if n_splits.nunique() == 1 else f"{n_splits.min()}-{n_splits.max()}"
    n_published = len(set(datasets) & set(PUBLISHED_DATASETS))
    named = f"data sets: {', '.join(datasets)} ({n_published} of the 15 published); splits of each: {splits}"
    single = ["no standard errors: they need two splits of each data set, 'splits=[0,1]'"] if n_splits.min() < 2 else []
    return (named, *single, *_mixtures(common.frame), *common.notes)


def _mixtures(frame: pd.DataFrame) -> Iterator[str]:
    """Report settings that differ between runs that are averaged together, although they should not."""
    trainings = sorted(frame["training"].unique())
    if len(trainings) > 1:
        yield f"runs of different training are averaged together: {'; '.join(trainings)}"
    tasks = sorted(frame["task_settings"].unique())
    if len(tasks) > 1:
        yield f"runs with different settings of the task are averaged together: {'; '.join(tasks)}"
    for method, part in frame.groupby("method", observed=True):
        if len(settings := sorted(part["method_settings"].unique())) > 1:
            yield f"runs of {method} with different settings are averaged together: {'; '.join(settings)}"
    versions = sorted(frame["code_version"].unique())
    if len(versions) > 1:
        yield f"runs of {len(versions)} versions of the code are averaged together: {_shortened(versions)}"
    for dataset, hashes in frame.groupby("dataset", observed=True)["data_hash"].unique().items():
        if len(hashes) > 1:
            yield f"runs on different preparations of {dataset} are averaged together: hashes {_shortened(hashes)}"


def _shortened(names: Sequence[str]) -> str:
    """Return the first few names, with hashes shortened to their first digits."""
    shown = [_HASH_TAIL.sub("", name) for name in names[:_NAMES_SHOWN]]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(shown) + more


TABLES: dict[str, Callable[[Request], list[Table]]] = {
    "methods": _methods,
    "literature": _literature,
    "per_dataset": _per_dataset,
    "comparison": _comparison,
    "agreement": _agreement,
    "paired": _paired,
    "savings": _savings,
    "ranks": _ranks,
    "wins": _wins,
}
PREDICTION, MODELS, BUDGET = "prediction", "models", "budget"
# These need no records.
STANDALONE: dict[str, Callable[[], list[Table]]] = {
    "published": published_tables,
    "datasets": lambda: [datasets_table()],
}

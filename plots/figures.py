"""The list of figures, and how each is drawn from the records of one or more experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from plots import (
    agreement,
    batch_sizes,
    critical_difference,
    effective_dimension,
    error_quotient,
    lcmd_steps,
    learning_curves,
    literature_ranking,
    pairwise,
)
from plots import leaderboard as leaderboard_figures
from plots.errors import PlotError
from plots.savings import draw as draw_savings
from results.aggregate import GROUP, CommonPart, common_part, common_part_by_dataset
from results.agreement import method_distances, published_values
from results.effective_dimension import paired_dimensions
from results.errors import ResultsError
from results.leaderboard import LEADERBOARD, Contest, leaderboard
from results.methods import LITERATURE, RANDOM, group_rank, labels_of, selected_methods
from results.prediction import quotient_points
from results.published import only_published, published_counterpart
from results.record import METRICS
from results.savings import savings
from results.statistics import friedman_ranks
from results.tables import METRIC_NAMES

_CURVES = "bands: one standard error; dotted: final error of random selection"


@dataclass(frozen=True)
class Drawn:
    """A finished figure, its path below the folder of figures, and notes about its averages."""

    place: str
    figure: Figure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """The records of one experiment and task; `all_methods` is true if the user chose the methods."""

    experiment: str
    task: str
    frame: pd.DataFrame
    all_methods: bool

    @property
    def place(self) -> str:
        """The folder of their figures."""
        return f"{self.experiment}/{self.task}"

    @property
    def shown(self) -> pd.DataFrame:
        """The records of the methods to show."""
        return _shown_methods(self.frame, self.all_methods)

    def title(self, common: CommonPart) -> str:
        """What was averaged."""
        return f"{self.experiment}, {self.task}: {_extent(common)}"


def draw_figures(frame: pd.DataFrame, name: str, *, all_methods: bool) -> Iterator[Drawn]:
    """Draw a figure for each experiment and task, or for each experiment.

    Figures for which there are not enough records are skipped. Raises ResultsError if that is all of them.
    """
    draws: list[Callable[[], Iterator[Drawn]]]
    if name in ACROSS_TASKS:
        draws = [partial(ACROSS_TASKS[name], frame, str(e), all_methods) for e in frame["experiment"].unique()]
    else:
        parts = frame.groupby(GROUP, observed=True)
        draws = [partial(PER_TASK[name], Slice(str(e), str(t), part, all_methods)) for (e, t), part in parts]
    reasons: list[str] = []
    for draw in draws:
        try:
            yield from draw()
        except ResultsError as error:
            reasons.append(str(error))
    if len(reasons) == len(draws):
        raise PlotError("; ".join(dict.fromkeys(reasons)))


def _learning_curves(part: Slice) -> Iterator[Drawn]:
    common = common_part(part.shown)
    title = f"{part.title(common)}\n{_CURVES}"
    yield Drawn(
        f"{part.place}/learning_curves", learning_curves.draw_averaged(common, _labels(common), title), common.notes
    )


def _savings(part: Slice) -> Iterator[Drawn]:
    found = savings(common_part(part.frame).frame, "rmse", RANDOM)
    shown = {*part.shown["method"].unique(), RANDOM, found[0].method}
    common = common_part(part.frame[part.frame["method"].isin(shown)])
    drawn = draw_savings(common.frame, "rmse", found, _labels(common), part.title(common))
    yield Drawn(f"{part.place}/savings", drawn, common.notes)


def _learning_curves_literature(part: Slice) -> Iterator[Drawn]:
    chosen = part.frame[part.frame["method"].isin(list(LITERATURE))]
    if chosen["method"].nunique() < 2:
        raise PlotError(f"{part.place}: fewer than two of the methods from the literature: {', '.join(LITERATURE)}")
    common = common_part(chosen)
    title = f"Methods from the literature: {part.title(common)}\n{_CURVES}"
    drawn = learning_curves.draw_averaged(common, LITERATURE, title)
    yield Drawn(f"{part.place}/learning_curves_literature", drawn, common.notes)


def _learning_curves_datasets(part: Slice) -> Iterator[Drawn]:
    common = common_part_by_dataset(part.shown)
    for metric in METRICS:
        title = f"{METRIC_NAMES[metric]} on each data set ({part.title(common)})\n{_CURVES}"
        drawn = learning_curves.draw_per_dataset(common, metric, _labels(common), title)
        yield Drawn(f"{part.place}/learning_curves_datasets_{metric}", drawn, common.notes)


def _error_quotient(part: Slice) -> Iterator[Drawn]:
    points = quotient_points(part.frame)
    title = f"{part.experiment}, {part.task}: {len(points)} data sets"
    yield Drawn(f"{part.place}/error_quotient", error_quotient.draw(points, title))


def _pairwise(part: Slice) -> Iterator[Drawn]:
    common = common_part(part.shown)
    for metric in METRICS:
        drawn = pairwise.draw(common, metric, _labels(common), part.title(common))
        yield Drawn(f"{part.place}/pairwise_{metric}", drawn, common.notes)


def _effective_dimension(part: Slice) -> Iterator[Drawn]:
    paired, published = paired_dimensions(part.frame), published_counterpart(part.frame)
    drawn = effective_dimension.draw(paired, published, f"{part.experiment}, {part.task}")
    yield Drawn(f"{part.place}/effective_dimension", drawn)


def _critical_difference(part: Slice) -> Iterator[Drawn]:
    common = common_part(part.shown)
    drawn = critical_difference.draw(friedman_ranks(common.frame, "rmse"), _labels(common), part.title(common))
    yield Drawn(f"{part.place}/critical_difference", drawn, common.notes)


def _agreement(part: Slice) -> Iterator[Drawn]:
    common = common_part(only_published(part.frame))
    distances = method_distances(*published_values(common.frame, "rmse"))
    yield Drawn(f"{part.place}/agreement", agreement.draw(distances, "rmse", part.title(common)), common.notes)


def _batch_sizes(frame: pd.DataFrame, experiment: str, all_methods: bool) -> Iterator[Drawn]:
    common = common_part(_batch_size_runs(frame, experiment, all_methods), ["method", "task"])
    title = f"{experiment}: {_extent(common)}\nbands: one standard error"
    drawn = batch_sizes.draw_averaged(common, _labels(common), title)
    yield Drawn(f"{experiment}/batch_sizes", drawn, common.notes)


def _batch_sizes_datasets(frame: pd.DataFrame, experiment: str, all_methods: bool) -> Iterator[Drawn]:
    common = common_part_by_dataset(_batch_size_runs(frame, experiment, all_methods), ["method", "task"])
    for metric in METRICS:
        title = f"{METRIC_NAMES[metric]} after the last round\n{experiment}: {_extent(common)}"
        drawn = batch_sizes.draw_per_dataset(common, metric, _labels(common), title)
        yield Drawn(f"{experiment}/batch_sizes_datasets_{metric}", drawn, common.notes)


def _batch_size_runs(frame: pd.DataFrame, experiment: str, all_methods: bool) -> pd.DataFrame:
    runs = frame[frame["experiment"].isin(batch_sizes.sources_of(experiment))]
    return batch_sizes.batch_size_runs(_shown_methods(runs, all_methods), experiment)


def draw_leaderboard(contest: Contest) -> Iterator[Drawn]:
    """Draw the figures of the leaderboard. Raises ResultsError if its records do not allow it."""
    board = leaderboard(contest)
    title = (
        f"{contest.title}: {len(board)} methods, 95 % intervals\nwith numbers: no other method is as fast and better"
    )
    yield Drawn(f"{LEADERBOARD}/leaderboard_cost", leaderboard_figures.draw_cost(board, title), contest.notes)
    yield Drawn(f"{LEADERBOARD}/leaderboard_ranks", leaderboard_figures.draw_ranks(contest), contest.notes)


def _shown_methods(frame: pd.DataFrame, all_methods: bool) -> pd.DataFrame:
    if all_methods:
        return frame
    present = list(frame["method"].unique())
    return frame[frame["method"].isin(selected_methods(published_counterpart(frame), present))]


def _labels(common: CommonPart) -> dict[str, str]:
    return labels_of(sorted(common.frame["method"].unique(), key=lambda method: (group_rank(method), method)))


def _extent(common: CommonPart) -> str:
    n_datasets, n_splits = common.frame["dataset"].nunique(), common.frame["split"].nunique()
    datasets = common.frame["dataset"].iloc[0] if n_datasets == 1 else f"{n_datasets} data sets"
    return f"{datasets}, {n_splits} split{'s' * (n_splits > 1)}"


PER_TASK: dict[str, Callable[[Slice], Iterator[Drawn]]] = {
    "learning_curves": _learning_curves,
    "learning_curves_literature": _learning_curves_literature,
    "learning_curves_datasets": _learning_curves_datasets,
    "savings": _savings,
    "error_quotient": _error_quotient,
    "pairwise": _pairwise,
    "effective_dimension": _effective_dimension,
    "critical_difference": _critical_difference,
    "agreement": _agreement,
}
ACROSS_TASKS: dict[str, Callable[[pd.DataFrame, str, bool], Iterator[Drawn]]] = {
    "batch_sizes": _batch_sizes,
    "batch_sizes_datasets": _batch_sizes_datasets,
}
# These need no records.
STANDALONE: dict[str, Callable[[], Figure]] = {
    "literature_ranking": literature_ranking.draw,
    "lcmd_steps": lcmd_steps.draw,
}
FIGURES = {
    "learning_curves": "averaged over data sets, five metrics, the methods that the paper shows",
    "learning_curves_literature": "the same for the methods from the literature",
    "learning_curves_datasets": "one panel per data set, one file per metric",
    "savings": "RMSE against labels, and how many labels the best of all methods saves over random selection",
    "batch_sizes": "final error against batch size, averaged over data sets",
    "batch_sizes_datasets": "one panel per data set, one file per metric",
    "error_quotient": "relative improvement against the RMSE/MAE quotient, with the linear fit",
    "pairwise": "pairs of methods against each other on all data sets, one file per metric",
    "effective_dimension": "effective dimension of grad_rp-512 against that of ll",
    "critical_difference": "mean ranks over data sets with the critical difference",
    LEADERBOARD: "cost against gain of all methods and submissions, and mean ranks: docs/leaderboard.md",
    "agreement": "each method's mean and rank against the published ones, with the names of those far off",
    "literature_ranking": "ranking of the published numbers; needs no records",
    "lcmd_steps": "how LCMD picks points in two dimensions; needs no records",
}

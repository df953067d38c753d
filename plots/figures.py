"""Which figure shows what: from the records of possibly several experiments to named, drawn figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from plots import learning_curves
from plots.errors import PlotError
from results.aggregate import GROUP, CommonPart, common_part
from results.methods import LITERATURE, group_rank, labels_of, selected_methods
from results.record import METRICS
from results.tables import METRIC_NAMES


@dataclass(frozen=True)
class Drawn:
    """A finished figure, and where it belongs below the folder of figures."""

    place: str
    figure: Figure


@dataclass(frozen=True)
class Slice:
    """The records of one experiment and task; `all_methods` if the user chose the methods to be shown."""

    experiment: str
    task: str
    frame: pd.DataFrame
    all_methods: bool

    @property
    def place(self) -> str:
        """The folder of its figures."""
        return f"{self.experiment}/{self.task}"

    @property
    def shown(self) -> CommonPart:
        """What the figures of selected methods average over."""
        present = list(self.frame["method"].unique())
        chosen = present if self.all_methods else selected_methods(self.experiment, present)
        return common_part(self.frame[self.frame["method"].isin(chosen)])


def draw_figures(frame: pd.DataFrame, name: str, *, all_methods: bool) -> Iterator[Drawn]:
    """The figure of that name for each experiment and task. Raises PlotError if the records do not suffice."""
    for (experiment, task), part in frame.groupby(GROUP, observed=True):
        yield from FIGURES[name](Slice(experiment, task, part, all_methods))


def _learning_curves(part: Slice) -> Iterator[Drawn]:
    common = part.shown
    labels = _labels(common)
    yield Drawn(f"{part.place}/learning_curves", learning_curves.draw_averaged(common, labels, _title(part, common)))


def _learning_curves_literature(part: Slice) -> Iterator[Drawn]:
    chosen = part.frame[part.frame["method"].isin(list(LITERATURE))]
    if chosen["method"].nunique() < 2:
        raise PlotError(f"{part.place}: fewer than two methods of the literature: {', '.join(LITERATURE)}")
    common = common_part(chosen)
    title = _title(part, common)
    yield Drawn(f"{part.place}/learning_curves_literature", learning_curves.draw_averaged(common, LITERATURE, title))


def _learning_curves_datasets(part: Slice) -> Iterator[Drawn]:
    common = part.shown
    labels = _labels(common)
    for metric in METRICS:
        title = f"{METRIC_NAMES[metric]} on each data set ({part.experiment}, {part.task})"
        drawn = learning_curves.draw_per_dataset(common, metric, labels, title)
        yield Drawn(f"{part.place}/learning_curves_datasets_{metric}", drawn)


def _labels(common: CommonPart) -> dict[str, str]:
    return labels_of(sorted(common.frame["method"].unique(), key=lambda method: (group_rank(method), method)))


def _title(part: Slice, common: CommonPart) -> str:
    n_datasets = common.frame["dataset"].nunique()
    n_splits = common.frame["split"].nunique()
    datasets = common.frame["dataset"].iloc[0] if n_datasets == 1 else f"{n_datasets} data sets"
    splits = "1 split" if n_splits == 1 else f"{n_splits} splits"
    return f"{part.experiment}, {part.task}: {datasets}, {splits}; bands: one standard error"


FIGURES: dict[str, Callable[[Slice], Iterator[Drawn]]] = {
    "learning_curves": _learning_curves,
    "learning_curves_literature": _learning_curves_literature,
    "learning_curves_datasets": _learning_curves_datasets,
}

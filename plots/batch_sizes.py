"""The error after the last round against the acquisition batch size, at an equal final number of labels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.errors import PlotError
from plots.panels import label_grid, legend_below, legend_cell, panel_grid
from plots.style import line_styles, log2_axis, new_figure
from results.aggregate import CommonPart, common_part, mean_and_stderr, run_values
from results.methods import RANDOM
from results.record import METRICS
from results.tables import METRIC_NAMES

_BATCH = "acquisition batch size"
# The experiment whose records complete another one's: the batch size 256 of `batch_sizes` ran in `relu`.
_COMPLETED_BY = {"batch_sizes": "relu"}


def sources_of(experiment: str) -> list[str]:
    """The experiments whose records show how one depends on the batch size."""
    return [experiment, *filter(None, [_COMPLETED_BY.get(experiment)])]


def batch_size_runs(frame: pd.DataFrame, experiment: str) -> CommonPart:
    """The common part of an experiment's runs over methods and batch sizes, with a column `batch_size`.

    Methods that have run with one batch size only are left out; random, whose errors do not depend on it, stays. Of
    tasks with different totals of acquired labels the most frequent total counts.

    Raises PlotError for fewer than two batch sizes.
    """
    runs = frame[frame["experiment"].isin(sources_of(experiment))]
    sizes = runs["task"].astype(str).str.extract(r"^(\d+)x(\d+)$").astype(float)
    runs = runs.assign(batch_size=sizes[0], total=sizes[0] * sizes[1]).dropna(subset=["batch_size"])
    if not runs.empty:
        totals = runs[["task", "total"]].drop_duplicates()["total"]
        runs = runs[runs["total"] == totals.mode().iloc[0]]
    n_sizes = runs.groupby("method", observed=True)["batch_size"].nunique()
    varied = [method for method in n_sizes.index[n_sizes > 1] if method != RANDOM]
    if not varied:
        raise PlotError(f"{experiment}: records of one batch size only; the experiment batch_sizes has more")
    runs = runs[runs["method"].isin([*varied, RANDOM])]
    return common_part(runs, columns=["method", "task"])


def draw_averaged(common: CommonPart, labels: Mapping[str, str], title: str) -> Figure:
    """Mean log metrics after the last round over data sets, one panel for each of the five."""
    figure = new_figure(7.5, 8.5)
    panels = figure.subplots(3, 2).ravel()
    for axes, metric in zip(panels, METRICS, strict=False):
        _draw_sizes(axes, common.frame, metric, labels)
        axes.set(title=METRIC_NAMES[metric], ylabel=f"final mean log {METRIC_NAMES[metric]}")
    for axes in panels[3:5]:
        axes.set_xlabel(_BATCH)
    legend_cell(panels[5], panels[0])
    figure.suptitle(title)
    return figure


def draw_per_dataset(common: CommonPart, metric: str, labels: Mapping[str, str], title: str) -> Figure:
    """The log metric after the last round on each data set, one panel for each."""
    datasets = sorted(common.frame["dataset"].unique())
    figure, panels = panel_grid(len(datasets))
    for axes, dataset in zip(panels, datasets, strict=True):
        _draw_sizes(axes, common.frame[common.frame["dataset"] == dataset], metric, labels)
        axes.set_title(dataset)
    label_grid(panels, _BATCH, f"final mean log {METRIC_NAMES[metric]}")
    legend_below(figure, panels[0])
    figure.suptitle(title)
    return figure


def _draw_sizes(axes: Axes, frame: pd.DataFrame, metric: str, labels: Mapping[str, str]) -> None:
    values = run_values(frame, metrics=[metric], final=True)
    values["batch_size"] = values["task"].astype(str).str.partition("x")[0].astype(int)
    means = mean_and_stderr(values, [metric], ["method", "batch_size"])
    for method, style in line_styles(list(labels)).items():
        curve = means[means["method"] == method]
        mean, error = curve[metric], curve[f"{metric}_stderr"]
        if method == RANDOM:
            axes.axhspan(mean.mean() - error.mean(), mean.mean() + error.mean(), color=style["color"], alpha=0.2, lw=0)
            axes.axhline(mean.mean(), color=style["color"], linestyle="--", label=labels[method])
        else:
            band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
            axes.fill_between(curve["batch_size"], mean - error, mean + error, **band)
            axes.plot(curve["batch_size"], mean, label=labels[method], **style)
    log2_axis(axes.xaxis)

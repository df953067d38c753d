"""Errors against the number of labelled points: averaged over data sets, and on each of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.panels import label_grid, legend_below, legend_cell, panel_grid
from plots.style import line_styles, log2_axis, new_figure
from results.aggregate import CommonPart, learning_curves
from results.methods import RANDOM
from results.record import METRICS
from results.tables import METRIC_NAMES

N_TRAIN = "labelled training points"


def draw_averaged(common: CommonPart, labels: Mapping[str, str], title: str) -> Figure:
    """Mean log metrics over data sets, one panel for each of the five, with bands of one standard error."""
    figure = new_figure(7.5, 8.5)
    panels = figure.subplots(3, 2).ravel()
    for axes, metric in zip(panels, METRICS, strict=False):
        _draw_curves(axes, common.frame, metric, labels)
        axes.set(title=METRIC_NAMES[metric], ylabel=f"mean log {METRIC_NAMES[metric]}")
    for axes in panels[3:5]:
        axes.set_xlabel(N_TRAIN)
    legend_cell(panels[5], panels[0])
    figure.suptitle(title)
    return figure


def draw_per_dataset(common: CommonPart, metric: str, labels: Mapping[str, str], title: str) -> Figure:
    """The log metric on each data set, one panel for each, averaged over splits."""
    datasets = sorted(common.frame["dataset"].unique())
    figure, panels = panel_grid(len(datasets))
    for axes, dataset in zip(panels, datasets, strict=True):
        _draw_curves(axes, common.frame[common.frame["dataset"] == dataset], metric, labels)
        axes.set_title(dataset)
    label_grid(panels, N_TRAIN, f"mean log {METRIC_NAMES[metric]}")
    legend_below(figure, panels[0])
    figure.suptitle(title)
    return figure


def _draw_curves(axes: Axes, frame: pd.DataFrame, metric: str, labels: Mapping[str, str]) -> None:
    curves = learning_curves(frame, metric)
    methods = [method for method in labels if method in set(curves["method"])]
    for method, style in line_styles(methods).items():
        curve = curves[curves["method"] == method]
        low, high = curve["log"] - curve["log_stderr"], curve["log"] + curve["log_stderr"]
        axes.fill_between(curve["n_train"], low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(curve["n_train"], curve["log"], label=labels[method], **style)
        if method == RANDOM:
            # Where another curve crosses this line, it has reached random's final error with fewer labels.
            axes.axhline(curve["log"].iloc[-1], color=style["color"], linestyle=":", linewidth=0.8)
    log2_axis(axes.xaxis)

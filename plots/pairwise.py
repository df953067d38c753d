"""Pairs of methods on every data set, relative to random selection."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.errors import PlotError
from plots.style import dataset_styles, new_figure
from results.aggregate import CommonPart
from results.methods import RANDOM
from results.statistics import paired_values
from results.tables import METRIC_NAMES


def draw(common: CommonPart, metric: str, labels: Mapping[str, str], title: str) -> Figure:
    """A triangle of panels, one per pair of methods: mean log metric minus random's, with one point per data set.

    Below the diagonal, the method named at the left is better; below or left of the dashed lines, a method is better
    than random. Raises PlotError for fewer than two methods other than random.
    """
    methods = [method for method in labels if method != RANDOM]
    means = paired_values(common.frame, metric).groupby(level="dataset", observed=True).mean()
    if len(methods) < 2 or RANDOM not in means:
        raise PlotError("comparing methods relative to random needs random and at least two other methods")
    gains = means[methods].sub(means[RANDOM], axis=0)
    n = len(methods) - 1
    figure = new_figure(1.25 * n + 2.6, 1.25 * n + 1.5)
    panels = figure.subplots(n, n, sharex="col", sharey="row", squeeze=False)
    margin = 0.06 * (gains.to_numpy().max() - gains.to_numpy().min() + 1e-6)
    limits = (min(gains.to_numpy().min(), 0) - margin, max(gains.to_numpy().max(), 0) + margin)
    for row in range(n):
        for column in range(n):
            if column > row:
                panels[row, column].remove()
                continue
            _draw_pair(panels[row, column], gains, methods[column], methods[row + 1], limits)
        panels[row, 0].set_ylabel(_wrapped(labels[methods[row + 1]]), fontsize=8)
    for column in range(n):
        panels[n - 1, column].set_xlabel(_wrapped(labels[methods[column]]), fontsize=8)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(f"{title}\nmean log {METRIC_NAMES[metric]} minus random's; lower left is better")
    return figure


def _wrapped(label: str) -> str:
    """A label wrapped to the width of a panel."""
    return textwrap.fill(label, width=18, break_on_hyphens=False)


def _draw_pair(axes: Axes, gains: pd.DataFrame, x: str, y: str, limits: tuple[float, float]) -> None:
    for dataset, style in dataset_styles(list(gains.index)).items():
        axes.plot(gains[x][dataset], gains[y][dataset], label=dataset, linestyle="none", **style)
    axes.axline((0, 0), slope=1, color="#000000", linewidth=0.8)
    axes.axhline(0, color="#000000", linewidth=0.8, linestyle="--")
    axes.axvline(0, color="#000000", linewidth=0.8, linestyle="--")
    axes.set(xlim=limits, ylim=limits)
    axes.tick_params(labelsize=7)

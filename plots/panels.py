"""Grids of panels with common labels and one legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.style import new_figure
from results.record import METRICS
from results.tables import METRIC_NAMES

_COLUMNS = 3
Draw = Callable[[Axes, pd.DataFrame, str], None]
"""Draws one metric of some records into a panel, one labelled line for each method."""


def metric_panels(draw: Draw, frame: pd.DataFrame, x_label: str, y_label: str, title: str) -> Figure:
    """One panel for each of the five metrics, with the legend in a sixth; the metric's name follows the y label."""
    figure = new_figure(7.5, 8.5)
    panels = figure.subplots(3, 2).ravel()
    for axes, metric in zip(panels, METRICS, strict=False):
        draw(axes, frame, metric)
        axes.set(title=METRIC_NAMES[metric], ylabel=f"{y_label} {METRIC_NAMES[metric]}")
    for axes in panels[3:5]:
        axes.set_xlabel(x_label)
    _legend_cell(panels[5], panels[0])
    figure.suptitle(title)
    return figure


def dataset_panels(draw: Draw, frame: pd.DataFrame, metric: str, x_label: str, y_label: str, title: str) -> Figure:
    """One panel for each data set; the metric's name follows the y label."""
    datasets = sorted(frame["dataset"].unique())
    figure, panels = _panel_grid(len(datasets))
    for axes, dataset in zip(panels, datasets, strict=True):
        draw(axes, frame[frame["dataset"] == dataset], metric)
        axes.set_title(dataset)
    _label_grid(panels, x_label, f"{y_label} {METRIC_NAMES[metric]}")
    _legend_below(figure, panels)
    figure.suptitle(title)
    return figure


def _panel_grid(n_panels: int) -> tuple[Figure, list[Axes]]:
    """A grid of panels, three in a row."""
    n_columns = min(_COLUMNS, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    figure = new_figure(max(3.1 * n_columns, 5.5), 2.5 * n_rows + 0.7)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[n_panels:]:
        axes.remove()
    return figure, list(panels[:n_panels])


def _legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """A common legend below the panels, in as many columns as fit; lines need not appear in every panel."""
    lines = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    column_inches = 0.7 + 0.075 * max(map(len, lines))
    n_columns = min(4, max(1, int(figure.get_figwidth() / column_inches)))
    figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(len(lines) / n_columns))
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=n_columns)


def _label_grid(panels: Sequence[Axes], x_label: str, y_label: str) -> None:
    """Label the left and bottom axes of a panel grid."""
    n_columns = min(_COLUMNS, len(panels))
    for place, axes in enumerate(panels):
        if place % n_columns == 0:
            axes.set_ylabel(y_label)
        if place + n_columns >= len(panels):
            axes.set_xlabel(x_label)


def _legend_cell(axes: Axes, source: Axes) -> None:
    """Turn an empty panel into the legend of another one."""
    axes.axis("off")
    axes.legend(*source.get_legend_handles_labels(), loc="center", fontsize=9)

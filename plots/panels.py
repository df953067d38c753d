"""Grids of panels with common labels and one legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.style import new_figure

_COLUMNS = 3


def panel_grid(n_panels: int) -> tuple[Figure, list[Axes], dict[str, Any]]:
    """A grid of panels, three in a row, and where the legend of the figure goes."""
    n_columns = min(_COLUMNS, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    figure = new_figure(max(3.1 * n_columns, 5.5), 2.5 * n_rows + 1.1)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[n_panels:]:
        axes.remove()
    return figure, list(panels[:n_panels]), {"loc": "outside lower center", "ncols": min(4, n_columns + 1)}


def label_grid(panels: Sequence[Axes], x_label: str, y_label: str) -> None:
    """Axis labels at the left and at the foot of a panel grid."""
    n_columns = min(_COLUMNS, len(panels))
    for place, axes in enumerate(panels):
        if place % n_columns == 0:
            axes.set_ylabel(y_label)
        if place + n_columns >= len(panels):
            axes.set_xlabel(x_label)


def legend_cell(axes: Axes, source: Axes) -> None:
    """Turn an empty panel into the legend of another one."""
    axes.axis("off")
    axes.legend(*source.get_legend_handles_labels(), loc="center", fontsize=9)

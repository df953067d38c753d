"""The mean of each method in the records against its published mean: log metrics, and ranks."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.style import line_styles, new_figure
from results.agreement import FAR, kendall, spearman
from results.methods import SELECTION_LABELS, kernel_of, label_of, selection_of
from results.tables import METRIC_NAMES


def draw(distances: pd.DataFrame, metric: str, title: str) -> Figure:
    """Two panels, of means and of ranks, with the names of the methods that are far from the line.

    distances: indexed by method (`results.agreement.method_distances`).
    """
    figure = new_figure(9.0, 5.2)
    means, ranks = figure.subplots(1, 2)
    _draw_points(means, distances, "published", "ours", "off_line")
    ends = distances.sort_values("published").iloc[[0, -1]]
    means.plot(ends["published"], ends["fitted"], color="#7F7F7F", linewidth=0.8, zorder=0)
    name = METRIC_NAMES[metric]
    means.set(xlabel=f"published mean log {name} over 15 data sets", ylabel=f"mean log {name} in these records")
    _draw_points(ranks, distances, "published_rank", "rank", "off_rank")
    ranks.axline((1, 1), slope=1, color="#7F7F7F", linewidth=0.8, zorder=0)
    ranks.set(xlabel="published rank", ylabel="rank in these records", aspect="equal")
    figure.legend(*means.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    both = distances["ours"], distances["published"]
    found = f"rank correlation {spearman(*both):.2f} (Spearman), {kendall(*both):.2f} (Kendall)"
    figure.suptitle(f"{title}; {found}\nnamed: more than {FAR:g} standard deviations from the line", fontsize=10)
    return figure


def _draw_points(axes: Axes, distances: pd.DataFrame, x: str, y: str, named: str) -> None:
    selection = distances.index.map(selection_of)
    for name, style in line_styles([name for name in SELECTION_LABELS if name in selection]).items():
        points = distances[selection == name]
        axes.plot(points[x], points[y], label=SELECTION_LABELS[name], **{**style, "linestyle": "none"})
    far = distances[distances[named]].sort_values(y)
    for place, (method, x_value, y_value) in enumerate(zip(far.index, far[x], far[y], strict=True)):
        above = far["ours"][method] > far["fitted"][method]
        axes.annotate(
            f"{label_of(method)} ({kernel_of(method)})".removesuffix(" ()"),
            (x_value, y_value),
            (-5 if above else 5, 0),  # away from the line
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if place % 2 else "top",  # two may be at the same place
            fontsize=6,
        )

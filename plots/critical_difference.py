"""Critical-difference diagram: mean ranks over data sets; a bar joins methods that are not significantly different."""

from __future__ import annotations

from collections.abc import Mapping

import scikit_posthocs
from matplotlib.figure import Figure

from plots.style import colour_of, new_figure
from results.statistics import Ranks


def draw(ranks: Ranks, labels: Mapping[str, str], title: str) -> Figure:
    """The diagram of Demsar, JMLR 7, 2006, with Nemenyi's test at 5 %."""
    figure = new_figure(7.0, 1.6 + 0.25 * len(ranks.mean_ranks))
    axes = figure.subplots()
    mean_ranks = ranks.mean_ranks.rename(labels)
    scikit_posthocs.critical_difference_diagram(
        mean_ranks,
        ranks.p_values.rename(index=labels, columns=labels),
        ax=axes,
        color_palette={labels[method]: colour_of(str(method)) for method in ranks.mean_ranks.index},
        text_h_margin=0.06,
    )
    axes.grid(False)
    axes.spines["top"].set_visible(True)  # the axis of ranks
    axes.set_title(
        f"{title}\nmean rank over {ranks.n_datasets} data sets, 1 is best; Friedman p = {ranks.p_value:.2g}, "
        f"critical difference {ranks.critical_difference:.2f}"
    )
    return figure

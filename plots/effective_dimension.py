"""Effective dimension of the pool's features: sketched gradients against the last layer."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from plots.style import dataset_styles, log2_axis, new_figure
from results.effective_dimension import GRAD, LL, compare_dimensions
from results.published import PUBLISHED_EFFECTIVE_DIMENSION


def draw(paired: pd.DataFrame, published: str, title: str) -> Figure:
    """Effective dimensions with both kernels, one point per round.

    Args:
        paired: rounds of methods that have run with both kernels (`results.effective_dimension.paired_dimensions`).
        published: the published experiment to compare the numbers with, `relu` or `silu`.
        title: the title.
    """
    figure = new_figure(6.4, 4.8)
    axes = figure.subplots()
    by = ["dataset", "selection", "round"]
    means = paired.groupby(by, observed=True)[["grad", "ll"]].mean().reset_index()
    for dataset, style in dataset_styles(sorted(means["dataset"].unique())).items():
        points = means[means["dataset"] == dataset]
        axes.plot(points["ll"], points["grad"], label=dataset, linestyle="none", alpha=0.7, **style)
    low, high = means[["grad", "ll"]].to_numpy().min(), means[["grad", "ll"]].to_numpy().max()
    limits = (low / 1.1, high * 1.1)
    axes.axline((low, low), (high, high), color="#7F7F7F", linewidth=0.8)
    log2_axis(axes.xaxis)
    log2_axis(axes.yaxis)
    found = compare_dimensions(paired)
    share, grad, ll = PUBLISHED_EFFECTIVE_DIMENSION[published]
    axes.set(
        xlim=limits,
        ylim=limits,
        aspect="equal",
        xlabel=f"effective dimension with {LL}",
        ylabel=f"effective dimension with {GRAD}",
        title=f"{title}\n"
        f"larger with {GRAD} in {100 * found.share_larger:.1f} % of {found.n_rounds} rounds "
        f"(published {100 * share:.1f} %)\n"
        f"averages {found.mean_grad:.2f} and {found.mean_ll:.2f} (published {grad} and {ll})",
    )
    axes.title.set_fontsize(9)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure

"""Relative improvement over random against the RMSE/MAE quotient of the first network, with the linear fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plots.style import dataset_styles, new_figure
from results.methods import label_of
from results.prediction import PAPER_METHOD, fit_line
from results.published import PUBLISHED_R2


def draw(points: pd.DataFrame, title: str) -> Figure:
    """The points with a linear fit and its prediction interval.

    points: `quotient` and `improvement` of each data set (`results.prediction.quotient_points`).
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for dataset, style in dataset_styles(list(points.index)).items():
        point = points.loc[dataset]
        axes.plot(point["quotient"], point["improvement"], label=dataset, linestyle="none", **style)
    fit = fit_line(points)
    quotient = np.linspace(0, points["quotient"].max() * 1.05, 100)
    expected, low, high = fit.predict(quotient)
    axes.plot(quotient, expected, color="#7F7F7F", label=f"linear fit, $R^2$ = {fit.r_squared:.3f}")
    axes.fill_between(quotient, low, high, color="#7F7F7F", alpha=0.15, linewidth=0, label="95 % prediction interval")
    axes.axhline(0, color="#000000", linestyle="--", linewidth=0.8, label="Random")
    spread = points["improvement"].max() - min(points["improvement"].min(), 0)
    axes.set_ylim(min(points["improvement"].min(), 0) - 0.25 * spread, points["improvement"].max() + 0.25 * spread)
    published = ", ".join(f"{value} ({name})" for name, value in PUBLISHED_R2.items())
    axes.set(
        title=f"{title}\npublished $R^2$: {published}",
        xlabel="log RMSE - log MAE of the first network",
        ylabel=f"relative improvement of {label_of(PAPER_METHOD)}",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure

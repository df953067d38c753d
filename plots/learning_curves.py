"""Errors against the number of labelled points, averaged over data sets or on each data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.panels import dataset_panels, metric_panels
from plots.style import line_styles, log2_axis
from results.aggregate import CommonPart, learning_curves
from results.methods import RANDOM

N_TRAIN = "labelled training points"


def draw_averaged(common: CommonPart, labels: Mapping[str, str], title: str) -> Figure:
    """Log metrics averaged over data sets, one panel for each of the five, with bands of one standard error."""
    return metric_panels(partial(_draw_curves, labels), common.frame, N_TRAIN, "mean log", title)


def draw_per_dataset(common: CommonPart, metric: str, labels: Mapping[str, str], title: str) -> Figure:
    """The log metric averaged over splits, with one panel for each data set."""
    return dataset_panels(partial(_draw_curves, labels), common.frame, metric, N_TRAIN, "mean log", title)


def _draw_curves(labels: Mapping[str, str], axes: Axes, frame: pd.DataFrame, metric: str) -> None:
    curves = learning_curves(frame, metric)
    present = set(curves["method"])
    for method, style in line_styles(list(labels)).items():
        if method not in present:
            continue
        curve = curves[curves["method"] == method]
        low, high = curve["log"] - curve["log_stderr"], curve["log"] + curve["log_stderr"]
        axes.fill_between(curve["n_train"], low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(curve["n_train"], curve["log"], label=labels[method], **style)
        if method == RANDOM:
            # Where another curve crosses this line, it has reached random's final error with fewer labels.
            axes.axhline(curve["log"].iloc[-1], color=style["color"], linestyle=":", linewidth=0.8)
    log2_axis(axes.xaxis)

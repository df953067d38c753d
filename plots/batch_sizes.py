"""The error after the last round against the acquisition batch size, for the same final number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.errors import PlotError
from plots.panels import dataset_panels, metric_panels
from plots.style import line_styles, log2_axis
from results.aggregate import CommonPart, mean_and_stderr, run_values
from results.methods import RANDOM

_BATCH = "acquisition batch size"
# Experiments that need records of another one: batch size 256 of `batch_sizes` ran in `relu`.
_COMPLETED_BY = {"batch_sizes": "relu"}


def sources_of(experiment: str) -> list[str]:
    """The experiments whose records are used for the batch sizes of an experiment."""
    return [experiment, *filter(None, [_COMPLETED_BY.get(experiment)])]


def batch_size_runs(frame: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """The runs of an experiment that show how errors depend on the batch size.

    Methods that have run with only one batch size are left out, except random, whose errors do not depend on it. If
    tasks differ in the total number of acquired labels, only those with the most frequent total are used.

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
        raise PlotError(f"{experiment}: there are only records for one batch size; the experiment batch_sizes has more")
    return runs[runs["method"].isin([*varied, RANDOM])]


def draw_averaged(common: CommonPart, labels: Mapping[str, str], title: str) -> Figure:
    """Log metrics after the last round, averaged over data sets, with one panel for each of the five metrics."""
    return metric_panels(partial(_draw_sizes, labels), common.frame, _BATCH, "final mean log", title)


def draw_per_dataset(common: CommonPart, metric: str, labels: Mapping[str, str], title: str) -> Figure:
    """The log metric after the last round, with one panel for each data set."""
    return dataset_panels(partial(_draw_sizes, labels), common.frame, metric, _BATCH, "final mean log", title)


def _draw_sizes(labels: Mapping[str, str], axes: Axes, frame: pd.DataFrame, metric: str) -> None:
    values = run_values(frame, metrics=[metric], final=True)
    values["batch_size"] = values["task"].astype(str).str.partition("x")[0].astype(int)
    means = mean_and_stderr(values, [metric], ["method", "batch_size"])
    for method, style in line_styles(list(labels)).items():
        curve = means[means["method"] == method]
        if curve.empty:
            continue
        mean, error = curve[metric], curve[f"{metric}_stderr"]
        if method == RANDOM:
            axes.axhspan(mean.mean() - error.mean(), mean.mean() + error.mean(), color=style["color"], alpha=0.2, lw=0)
            axes.axhline(mean.mean(), color=style["color"], linestyle="--", label=labels[method])
        else:
            band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
            axes.fill_between(curve["batch_size"], mean - error, mean + error, **band)
            axes.plot(curve["batch_size"], mean, label=labels[method], **style)
    log2_axis(axes.xaxis)

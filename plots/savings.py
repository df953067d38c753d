"""How many labels a method saves: learning curves, and where they cross the last error of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plots.style import line_styles, log2_axis, new_figure
from results.aggregate import learning_curves
from results.savings import Saving
from results.tables import METRIC_NAMES


def draw(frame: pd.DataFrame, metric: str, found: Sequence[Saving], labels: Mapping[str, str], title: str) -> Figure:
    """Learning curves with bands of one standard error, and an arrow that shows the savings of the best method."""
    figure = new_figure(6.5, 4.2)
    axes = figure.subplots()
    curves, styles = learning_curves(frame, metric), line_styles(list(labels))
    for method, label in labels.items():
        curve, style = curves[curves["method"] == method], styles[method]
        low, high = curve["log"] - curve["log_stderr"], curve["log"] + curve["log_stderr"]
        axes.fill_between(curve["n_train"], np.exp(low), np.exp(high), color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(curve["n_train"], np.exp(curve["log"]), label=label, **style)
    best = found[0]
    reference = curves[curves["method"] == best.reference]
    goal = float(np.exp(reference["log"].iloc[-1]))
    axes.axhline(goal, color=styles[best.reference]["color"], linestyle=":", linewidth=0.8)
    if best.is_sure and best.difference < 0 and best.n_needed is not None:
        arrow = {"arrowstyle": "<->", "color": styles[best.method]["color"], "shrinkA": 0, "shrinkB": 0, "linewidth": 2}
        axes.annotate("", (best.n_needed, goal), (best.n_labels, goal), arrowprops=arrow)
        saved = best.n_labels - best.n_needed
        axes.annotate(  # below all curves
            f"{saved:.0f} labels saved",
            (best.n_needed, goal),
            (-4, -5),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=9,
        )
    axes.set(xlabel="labelled training points", ylabel=f"{METRIC_NAMES[metric]} (geometric mean)", title=title)
    log2_axis(axes.xaxis)
    axes.legend()
    return figure

"""A log-log plot of the scaling measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmark.speed.parts import Row

AXES = {"n_pool": "pool points", "batch_size": "points to select", "n_train": "training points"}
COLORS = {"features": "#0072B2", "selection": "#D55E00"}


def draw_scaling(rows: Sequence[Row], machine: str, path: Path) -> None:
    """Plot seconds against the sizes of pool, batch and training set, with reference lines of linear growth.

    Args:
        rows: the rows of `scaling`; any others are left out.
        machine: name of the machine, for the title.
        path: where to save the picture.
    """
    rows = [row for row in rows if row.part == "scaling"]
    figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axes, (size, label) in zip(panels, AXES.items(), strict=True):
        _draw(axes, _along(rows, size), size)
        axes.set(xlabel=label, xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("seconds")
    panels[0].legend()
    figure.suptitle(f"lcmd-tp_grad_rp-512, {machine}")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _along(rows: Sequence[Row], size: str) -> list[Row]:
    """Return selection rows that vary only in one size, with the most common other sizes, and for the pool features."""
    selections = [row for row in rows if row.what == "selection"]
    others = [tuple(getattr(row, other) for other in AXES if other != size) for row in selections]
    usual = max(set(others), key=others.count)
    features = [row for row in rows if row.what == "features" and size == "n_pool"]
    return features + [row for row, other in zip(selections, others, strict=True) if other == usual]


def _draw(axes: Axes, rows: Sequence[Row], size: str) -> None:
    for what, color in COLORS.items():
        points = sorted((getattr(row, size), row.seconds) for row in rows if row.what == what)
        if points:
            n, seconds = zip(*points, strict=True)
            axes.plot(n, seconds, "o-", color=color, label=what)
            axes.plot(n, [seconds[0] * k / n[0] for k in n], ":", color=color, linewidth=0.8)

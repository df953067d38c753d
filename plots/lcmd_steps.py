"""How LCMD picks points in two dimensions, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bmdal import Method, select_batch
from plots.style import new_figure

_STEPS = (1, 2, 3, 4, 6, 9, 14, 20)
_LCMD = "lcmd-tp_linear"


def draw(n_pool: int = 500, seed: int = 0) -> Figure:
    """Clusters and next point at eight steps of the library's own LCMD on three Gaussian clouds.

    In each step, lines connect the pool points to their nearest selected point. In the cluster with the largest sum of
    squared distances (orange), the farthest point is selected (red).
    """
    x_train, x_pool = _clouds(n_pool, seed)
    picked = _select(x_train, x_pool, max(_STEPS), seed)
    figure = new_figure(9.0, 3.7)
    panels = figure.subplots(2, len(_STEPS) // 2, sharex=True, sharey=True).ravel()
    for axes, step in zip(panels, _STEPS, strict=True):
        before, following = picked[: step - 1], picked[step - 1]
        _draw_step(
            axes, np.concatenate([x_train, x_pool[before]]), np.delete(x_pool, before, axis=0), x_pool[following]
        )
        axes.set_title(f"step {step}")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.suptitle("LCMD selects the farthest point of the cluster with the largest sum of squared distances")
    return figure


def _clouds(n_pool: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    widths = np.array([[0.5, 1.0], [2.0, 0.1], [0.5, 1.0]])
    cloud = generator.choice(3, size=n_pool + 1, p=[0.7, 0.2, 0.1])
    points = centres[cloud] + widths[cloud] * generator.standard_normal((n_pool + 1, 2))
    return points[:1], points[1:]


def _select(x_train: np.ndarray, x_pool: np.ndarray, n_steps: int, seed: int) -> list[int]:
    # The linear kernel measures Euclidean distances between inputs and ignores the network.
    batch = select_batch(
        Method.from_name(_LCMD),
        models=[torch.nn.Linear(2, 1, dtype=torch.float64)],
        x_train=torch.from_numpy(x_train),
        y_train=torch.zeros(len(x_train), 1, dtype=torch.float64),
        x_pool=torch.from_numpy(x_pool),
        batch_size=n_steps,
        generator=torch.Generator().manual_seed(seed),
    )
    return batch.indices.tolist()


def _draw_step(axes: Axes, centres: np.ndarray, pool: np.ndarray, following: np.ndarray) -> None:
    squares = ((pool[:, None] - centres[None]) ** 2).sum(axis=2)
    cluster, distance = squares.argmin(axis=1), squares.min(axis=1)
    largest = np.bincount(cluster, weights=distance, minlength=len(centres)).argmax()
    is_largest = cluster == largest
    for chosen, colour, label in (
        (is_largest, "#E69F00", "largest cluster"),
        (~is_largest, "#56B4E9", "other clusters"),
    ):
        ends = np.stack([centres[cluster[chosen]], pool[chosen]], axis=1)  # shape: (n, 2 ends, 2 coordinates)
        gaps = np.concatenate([ends, np.full_like(ends[:, :1], np.nan)], axis=1).reshape(-1, 2)
        axes.plot(*gaps.T, color=colour, alpha=0.35, linewidth=0.6, label=label)
    axes.plot(*pool.T, ".", color="#9A9A9A", markersize=2, label="pool")
    axes.plot(*centres.T, "o", color="#000000", markersize=3.5, label="training and selected")
    star: dict[str, Any] = {"color": "#D55E00", "markersize": 11, "markeredgecolor": "#000000", "clip_on": False}
    axes.plot(*following, "*", label="selected next", **star)
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.grid(False)

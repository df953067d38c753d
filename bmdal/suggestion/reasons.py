"""Why a row was chosen, in words that anyone can check in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bmdal.suggestion.columns import Column
from bmdal.suggestion.words import shown

NAMED_SHARE = 0.97
"""Of the importance, the part that the columns have which can be named in reasons."""
PART_NUMBERS = 2**24
"""Number of distances that are in memory at a time."""


def nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest of the other points to each point, and its distance; shapes (n,)."""
    a, b = torch.from_numpy(points), torch.from_numpy(others)
    rows = max(1, PART_NUMBERS // len(others))
    found = [torch.cdist(a[i : i + rows], b).min(dim=1) for i in range(0, len(a), rows)]
    return torch.cat([f.indices for f in found]).numpy(), torch.cat([f.values for f in found]).numpy()


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where the chosen rows lie among all others.

    Attributes:
        neighbour: for each chosen row, the most similar labelled row; None without labelled rows.
        differs: for each chosen row, the places of up to two columns in which both differ most, the largest first.
        stands_for: number of candidates that resemble a chosen row more than any labelled or other chosen row.
    """

    neighbour: NDArray[np.int64] | None
    differs: tuple[tuple[int, ...], ...]
    stands_for: NDArray[np.int64]


def surroundings(
    Z: NDArray[np.float64],
    n_labelled: int,
    chosen: NDArray[np.int64],
    places: Sequence[slice],
    importance: Sequence[float],
) -> Surroundings:
    """Compare the chosen candidates with all rows by distances between rows of Z, shape (n, p), labelled rows first.

    Only columns that together have most of the importance are named; the others would be named by chance.
    """
    labelled, candidates = Z[:n_labelled], Z[n_labelled:]
    batch = candidates[chosen]
    if n_labelled:
        neighbour: NDArray[np.int64] | None = nearest(batch, labelled)[0]
        difference = (batch - labelled[neighbour]) ** 2
    else:
        neighbour, difference = None, (batch - candidates.mean(axis=0)) ** 2
    shares = np.stack([difference[:, place].sum(axis=1) for place in places], axis=1)
    by_importance = np.argsort(-np.asarray(importance), kind="stable")
    before = np.cumsum(np.asarray(importance)[by_importance]) - np.asarray(importance)[by_importance]
    shares[:, by_importance[before > NAMED_SHARE]] = 0
    total = shares.sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :2]
    differs = tuple(
        tuple(int(j) for place, j in enumerate(row) if share[j] > (0.1 * all_[0] if place else 0))
        for row, share, all_ in zip(order, shares, total, strict=True)
    )
    centres = np.concatenate([labelled, batch])
    others = np.setdiff1d(np.arange(len(candidates)), chosen)
    closest = nearest(candidates[others], centres)[0] if len(others) else np.empty(0, dtype=np.int64)
    counts = np.bincount(closest, minlength=len(centres))[n_labelled:]
    return Surroundings(neighbour, differs, counts)


def reasons(
    columns: Sequence[Column],
    chosen: NDArray[np.int64],
    around: Surroundings,
    rank_of_uncertainty: NDArray[np.float64] | None,
    n_random: int,
) -> list[str]:
    """One sentence for each chosen row.

    rank_of_uncertainty: share of candidates that are less uncertain, for each chosen row. n_random: how many of the
    last rows are random, because the method had nothing left to gain.
    """
    sentences = []
    for i, row in enumerate(chosen):
        parts = []
        if i >= len(chosen) - n_random:
            parts.append("random, since the method had nothing left to gain")
        if around.neighbour is not None:
            pairs = [
                f"{c.name} ({shown(c.parts[-1][row])}, nearest {shown(c.parts[0][around.neighbour[i]])})"
                for c in (columns[j] for j in around.differs[i])
            ]
            parts.append(
                f"differs most from what is labelled in {' and '.join(pairs)}" if pairs else "is like a labelled row"
            )
        elif around.differs[i]:
            pairs = [f"{columns[j].name} ({shown(columns[j].parts[-1][row])})" for j in around.differs[i]]
            parts.append(f"is farthest from the average in {' and '.join(pairs)}")
        if (n := int(around.stands_for[i])) > 0:
            parts.append(f"stands for {n:,} similar candidate{'s' if n > 1 else ''}")
        if rank_of_uncertainty is not None and rank_of_uncertainty[i] >= 0.5:
            parts.append(f"more uncertain than {min(int(100 * rank_of_uncertainty[i]), 99)} % of all candidates")
        sentences.append("; ".join(parts))
    return sentences

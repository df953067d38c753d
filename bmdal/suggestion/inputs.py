"""Which columns describe the rows, and what a user should know about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bmdal.suggestion.columns import Column, days, numbers_rows
from bmdal.suggestion.words import shown

FEW_LABELLED = 30
_FEW_FOR_RANKS = 8  # labelled rows; with fewer, a rank correlation of 0.99 can be chance
_OUTSIDE = 0.01  # share of candidates beyond the labelled range that is worth a remark
_SAME_ORDER = 0.5  # rank correlation of row numbers with the target
_TOO_GOOD = 0.99  # rank correlation of any other column with the target
_MOST_NAMED = 8  # columns in one sentence


def choose_inputs(
    columns: Sequence[Column], Y: NDArray[np.float64], targets: Sequence[str]
) -> tuple[list[Column], list[str], list[str]]:
    """The columns that are inputs, what was dropped or changed, and what is doubtful.

    columns: those of both tables; Y: the targets of the labelled rows, shape (n, n_targets).
    """
    inputs, doubts = list[Column](), list[str]()
    said: dict[str, list[str]] = {}  # what was done, and the columns that it was done to
    for column in columns:
        if numbers_rows(column):
            column = replace(column, kind="id")
        values, name = column.values, repr(column.name)
        empty = [not part.notna().any() for part in column.parts]
        if any(empty):
            where = "" if all(empty) else " in the labelled rows" if empty[0] else " in the candidates"
            said.setdefault(f"dropped: empty{where}", []).append(name)
            continue
        if values.notna().all() and values.nunique() == 1:
            said.setdefault("dropped: the same value in all rows", []).append(name)
            continue
        for note in column.changed:
            said.setdefault(note, []).append(name)
        doubts += [f"{name}: {doubt}" for doubt in column.doubts]
        if column.kind == "id":
            said.setdefault(f"dropped: a different value in {_different(column)} row, like ids", []).append(name)
        else:
            inputs.append(column)
            if missing := float(values.isna().mean()):
                said.setdefault(f"missing values {_filled(column)}", []).append(f"{name} ({100 * missing:.1f} %)")
        if len(Y):
            doubts += _leaks(column, Y, targets)
    if len(Y):
        doubts += _beyond([column for column in inputs if len(column.parts) == 2])
    return inputs, [f"{_named(names)}: {what}" for what, names in said.items()], doubts


def _different(column: Column) -> str:
    return "every" if all(part.dropna().is_unique for part in column.parts) else "nearly every"


def _filled(column: Column) -> str:
    if column.kind in ("number", "date"):
        return "filled with the median and marked"
    return "taken as a level of their own" if column.kind == "category" else "taken as empty"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _leaks(column: Column, Y: NDArray[np.float64], targets: Sequence[str]) -> list[str]:
    """Remarks on numbers that go with a target as nothing does that is known before measuring."""
    if column.kind == "date":
        values = days(column.parts[0]).to_numpy()
    elif pd.api.types.is_float_dtype(column.parts[0].dtype):
        values = column.parts[0].to_numpy()
    else:
        return []
    found = []
    for y, target in zip(Y.T, targets, strict=True):
        known = np.isfinite(values)
        if known.sum() < _FEW_FOR_RANKS or len(np.unique(values[known])) < 3 or np.ptp(y[known]) == 0:
            continue
        rank = float(stats.spearmanr(values[known], y[known]).statistic)
        if column.kind == "id" and abs(rank) > _SAME_ORDER and known.sum() >= FEW_LABELLED:
            found.append(
                f"{column.name!r} goes with {target!r} (rank correlation {rank:.2f}): the table seems to be sorted, or "
                "numbered after measuring. The column is dropped, since it would leak the answer"
            )
        elif abs(rank) > _TOO_GOOD:
            found.append(
                f"{column.name!r} goes with {target!r} almost perfectly (rank correlation {rank:.3f}): if it is only "
                "known after measuring, or computed from the target, delete the column"
            )
    return found


def _beyond(columns: Sequence[Column]) -> list[str]:
    """Remarks on candidates far from what is labelled."""
    outside, unseen, still = [], [], []
    for column in columns:
        labelled, candidates = (part.dropna() for part in column.parts)
        if not len(labelled) or not len(candidates):
            continue
        if labelled.nunique() == 1 and candidates.nunique() > 1:
            still.append(repr(column.name))
        elif column.kind in ("number", "date"):
            share = float(((candidates < labelled.min()) | (candidates > labelled.max())).mean())
            if share > _OUTSIDE:
                low, high = (shown(value) for value in (labelled.min(), labelled.max()))
                outside.append(
                    (share, f"{column.name!r} ({100 * share:.0f} % of candidates; labelled: {low} to {high})")
                )
        elif column.kind == "category":
            share = float((~candidates.isin(labelled.unique())).mean())
            if share > _OUTSIDE:
                unseen.append((share, f"{column.name!r} ({100 * share:.0f} % of candidates)"))
    found = [
        f"{_most(listed)}: {what}"
        for listed, what in (
            (outside, "values outside the labelled range, where the model cannot know what happens"),
            (unseen, "levels that no labelled row has"),
        )
        if listed
    ]
    if still:
        found.append(f"{_named(still)}: the same in all labelled rows, so the model cannot know what other values do")
    return found


def _most(listed: list[tuple[float, str]]) -> str:
    texts = [text for _, text in sorted(listed, reverse=True)]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ", ".join(texts[:5]) + more


def about_labels(Y: NDArray[np.float64], targets: Sequence[str]) -> list[str]:
    """Remarks on the number of labelled rows and on targets that do not vary."""
    found = [
        f"{name!r} is the same in all labelled rows: nothing can be learned about it"
        for name, y in zip(targets, Y.T, strict=True)
        if np.ptp(y) == 0
    ]
    if len(Y) < FEW_LABELLED:
        found.insert(
            0,
            f"only {len(Y)} labelled rows: the model knows little, and all estimates are rough; with {FEW_LABELLED} "
            "they begin to mean something",
        )
    return found

"""Compare the effective dimension of pool features: sketched gradients and last-layer features."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from results.errors import ResultsError

GRAD, LL = "grad_rp-512", "ll"
_ROUND = ["experiment", "task", "selection", "dataset", "split", "round"]


@dataclass(frozen=True)
class DimensionComparison:
    """The share of rounds in which grad_rp-512 has the larger effective dimension, and both averages."""

    share_larger: float
    mean_grad: float
    mean_ll: float
    n_rounds: int


def paired_dimensions(frame: pd.DataFrame) -> pd.DataFrame:
    """Pair the rounds of methods `<selection>_grad_rp-512` and `<selection>_ll` in columns `grad` and `ll`.

    Raises ResultsError if no selection method has run with both kernels.
    """
    sides = [_side(frame, kernel).rename(column) for kernel, column in ((GRAD, "grad"), (LL, "ll"))]
    paired = pd.concat(sides, axis=1, join="inner").dropna().reset_index()
    if paired.empty:
        raise ResultsError(
            f"no selection method has effective dimensions with both kernels, as lcmd-tp_{GRAD} and lcmd-tp_{LL}"
        )
    return paired


def _side(frame: pd.DataFrame, kernel: str) -> pd.Series:
    methods = [method for method in frame["method"].cat.categories if method.partition("_")[2] == kernel]
    rows = frame[frame["method"].isin(methods)]
    selection = rows["method"].astype(str).str.removesuffix(f"_{kernel}")
    return rows.assign(selection=selection).set_index(_ROUND)["effective_dimension"]


def compare_dimensions(paired: pd.DataFrame) -> DimensionComparison:
    """Summarize the result of `paired_dimensions`."""
    return DimensionComparison(
        share_larger=float((paired["grad"] > paired["ll"]).mean()),
        mean_grad=float(paired["grad"].mean()),
        mean_ll=float(paired["ll"].mean()),
        n_rounds=len(paired),
    )

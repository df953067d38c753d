"""Errors on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """Mean absolute, root mean squared and maximum error, and the 95 % and 99 % quantiles of the absolute error."""

    mae: float
    rmse: float
    q95: float
    q99: float
    maxe: float


def error_metrics(errors: Sequence[Tensor]) -> Metrics:
    """Compute the metrics of a network or an ensemble from the absolute errors of each member, shape (n_test,).

    q95 is sorted(|error|)[int(0.95 n)]. For an ensemble, the RMSE pools the squared errors of the members; the other
    metrics are averaged over members (arXiv 2203.09410, Section 5.1).
    """

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    n = len(errors[0])
    exact = [e.to(torch.float64) for e in errors]
    return Metrics(
        mae=mean([float(e.mean()) for e in exact]),
        rmse=mean([float((e**2).mean()) for e in exact]) ** 0.5,
        q95=mean([_order_statistic(e, int(0.95 * n)) for e in exact]),
        q99=mean([_order_statistic(e, int(0.99 * n)) for e in exact]),
        maxe=mean([float(e.max()) for e in exact]),
    )


def _order_statistic(values: Tensor, index: int) -> float:
    return float(values.sort().values[index])

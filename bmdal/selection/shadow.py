"""Features as integers of 8 bits, whose products with vectors bound those of the features with little to read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.linalg import blocks

N_FEWEST = 4096
"""With fewer points, everything is read."""
MOST = 127
"""Integers are between -MOST and MOST; what rounding to them leaves, at most 1/2, is 2 MOST times as fine next time."""
FINER = 2 * MOST
LOST = 2.0**-10
"""More than what rounding a vector to two integers usually costs, relative to its length."""


@dataclass(frozen=True)
class Shadow:
    """phi_i = s_i (h_i + h'_i / FINER + ...) + e_i with integers h, h', ..., and v = t (w + w' / FINER + ...) + r.

    Products of integers are exact, so the approximation of <phi_i, v> without e_i and r differs from it by at most
    |e_i| |v| + (|phi_i| + |e_i|) |r|. With one integer, |e_i| is about 1 % of |phi_i|, and a pass reads an eighth of
    float64 features; each further integer adds as much to read and takes |e_i| down to a 254th.

    Attributes:
        integers: h, h', ..., shape (n_levels, n, p), int8. Vectors are rounded to one integer more.
        scale: s, shape (n,).
        error: |e_i| plus what is usually more than (|phi_i| + |e_i|) |r| / |v|, shape (n,).
    """

    integers: Tensor
    scale: Tensor
    error: Tensor

    @classmethod
    def of(cls, Phi: Tensor, n_levels: int = 1) -> Shadow | None:
        """The shadow of features; None if reading these is no slower, as for few points or on a GPU."""
        n, p = Phi.shape
        if n < N_FEWEST or not _is_fast_and_exact(Phi.device, p):
            return None
        integers = Phi.new_empty(n_levels, n, p, dtype=torch.int8)
        scale, error = (Phi.new_empty(n, dtype=torch.float64) for _ in range(2))
        for rows in blocks(n, 2 * 8 * p, Phi.device):
            integers[:, rows], scale[rows], size, rest = _rounded(Phi[rows].to(torch.float64), n_levels)
            error[rows] = rest + _lost(n_levels) * (size + rest)
        return cls(integers, scale, error) if bool(torch.isfinite(error).all()) else None

    def products(self, vectors: Tensor) -> tuple[Tensor, list[float]]:
        """Approximate <phi_i, v>, shape (k, n), for vectors of shape (k, p), and for each f: |error| <= f `error`_i."""
        k, n_levels = len(vectors), len(self.integers)
        rounded, unit, length, rest = _rounded(vectors.to(torch.float64), n_levels + 1)
        weights = torch.cat([torch.diag(unit / FINER**level) for level in range(n_levels + 1)], dim=1)
        products = unit.new_zeros(k, self.integers.shape[1])
        for level, integers in enumerate(self.integers):
            exact = torch._int_mm(integers, rounded.flatten(0, 1).T)
            products.addmm_(weights, exact.T.to(torch.float64), alpha=1 / FINER**level)
        return products.mul_(self.scale), torch.maximum(length, rest / _lost(n_levels)).tolist()


def _rounded(values: Tensor, n_levels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Integers, shape (n_levels, n, p), and of each row its scale, its length, and the length of what they leave."""
    scale = values.abs().amax(dim=1) / MOST
    rest = values / torch.where(scale > 0, scale, 1.0)[:, None]
    length = torch.linalg.vector_norm(rest, dim=1) * scale
    integers = torch.empty(n_levels, *values.shape, dtype=torch.int8)
    for level in range(n_levels):
        whole = rest.round()
        integers[level] = whole
        rest.sub_(whole).mul_(FINER)
    return integers, scale, length, torch.linalg.vector_norm(rest, dim=1) * (scale / FINER**n_levels)


def _lost(n_levels: int) -> float:
    return LOST / float(FINER) ** (n_levels - 1)


def _is_fast_and_exact(device: torch.device, p: int) -> bool:
    """Whether 8-bit integers are multiplied quickly and right: older processors cut off large sums.

    For p = 1, torch 2.13 returns wrong products.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512" or not 1 < p < 2**31 // MOST**2:
        return False
    largest = torch.full((64, p), MOST, dtype=torch.int8)
    sums = torch._int_mm(largest, torch.stack([largest[0], -largest[0]]).T)
    return bool((sums == torch.tensor([p * MOST**2, -p * MOST**2])).all())

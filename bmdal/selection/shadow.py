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
LOST = 2.0**-13
"""More than what rounding a vector to two integers usually costs, relative to its length."""
ROUNDING = 2.0**-20
"""More than the rounding errors of float32 numbers, relative to their length."""
VANISHED = 2.0**-100
"""More than the length of what is too small for float32."""
SOME = 4096
"""Number of points whose mean direction is used."""
AT_ONCE = 8
"""Number of vectors that are multiplied with the integers in about the time that reading these takes."""


@dataclass(frozen=True)
class Shadow:
    """phi_i = a_i u + s_i h_i + e_i with a unit vector u, the direction of the mean of some points, and integers h_i.

    A vector is v = <u, v> u + t (w + w' / FINER) + r with integers w, w'. Products of integers are exact, so
    a_i <u, v> + s_i t <h_i, w + w' / FINER> differs from <phi_i, v> by at most |e_i| |v'| + (|phi'_i| + |e_i|) |r|,
    where phi' and v' are what is orthogonal to u. |e_i| is about 1 % of |phi'_i|, and a pass reads an eighth of
    float64 features.

    Attributes:
        u: shape (p,).
        along: a, shape (n,).
        integers: h, shape (n, p), int8.
        scale: s, shape (n,).
        error: |e_i| plus what is usually more than (|phi'_i| + |e_i|) |r| / |v'|, shape (n,).
        exact: the last products of integers, shape (2 n AT_ONCE,), int32. New memory would take as long to write.
        some: some of them, shape (4 n,).
    """

    u: Tensor
    along: Tensor
    integers: Tensor
    scale: Tensor
    error: Tensor
    exact: Tensor
    some: Tensor

    @classmethod
    def of(cls, Phi: Tensor) -> Shadow | None:
        """The shadow of features; None if reading these is no slower, as for few points or on a GPU."""
        n, p = Phi.shape
        if n < N_FEWEST or not _is_fast_and_exact(Phi.device, p):
            return None
        u = _direction(Phi[:: max(1, n // SOME)].sum(dim=0, dtype=torch.float64))
        integers = Phi.new_empty(n, p, dtype=torch.int8)
        along, scale, error = (Phi.new_empty(n, dtype=torch.float64) for _ in range(3))
        for rows in blocks(n, 4 * 8 * p, Phi.device):
            along[rows], scale[rows], size, left = _split(Phi[rows].to(torch.float64), u, integers[rows][None])
            error[rows] = left + LOST * (size + left) + ROUNDING * torch.hypot(along[rows], size) + VANISHED
        exact, some = integers.new_empty(2 * n * AT_ONCE, dtype=torch.int32), scale.new_empty(4 * n)
        return cls(u, along, integers, scale, error, exact, some) if bool(torch.isfinite(error).all()) else None

    def times(self, vectors: Tensor) -> Products:
        """Multiply with vectors, shape (k, p), k <= AT_ONCE. Overwrites the products before."""
        rounded = torch.empty(2, *vectors.shape, dtype=torch.int8)
        along, unit, length, left = _split(vectors.to(torch.float64), self.u, rounded)
        off = torch.maximum(torch.maximum(length, left / LOST), ROUNDING * torch.hypot(along, length)) + VANISHED
        shape = len(self.integers), 2 * len(vectors)
        exact = self.exact[: shape[0] * shape[1]].view(shape)
        torch._int_mm(self.integers, rounded.transpose(0, 1).flatten(0, 1).T, out=exact)
        return Products(self, exact, along, unit, off.tolist())


@dataclass(frozen=True)
class Products:
    """Products of features with k vectors, up to a multiple of their shadow's error.

    Attributes:
        exact: products of integers, <h_i, w> and <h_i, w'> for each vector, shape (n, 2 k), int32.
        along, units: <u, v> and t, shape (k,).
        off: an approximation differs by at most off_j error_i.
    """

    shadow: Shadow
    exact: Tensor
    along: Tensor
    units: Tensor
    off: list[float]

    def of(self, first: int, count: int = 1) -> Tensor:
        """The approximations of <phi_i, v_j> for one or two vectors from the first on, shape (count, n)."""
        exact = self.exact[:, 2 * first : 2 * (first + count)]
        some = self.shadow.some[: exact.numel()].view(exact.shape).copy_(exact)
        j = slice(first, first + count)
        units = torch.stack([torch.diag(self.units[j]), torch.diag(self.units[j] / FINER)], dim=2).flatten(1)
        products: Tensor = units @ some.T
        products.mul_(self.shadow.scale).addr_(self.along[j], self.shadow.along)
        return products


def _direction(vector: Tensor) -> Tensor:
    """The unit vector in its direction; zeros stay zeros."""
    largest = vector.abs().max()
    vector = vector / torch.where(largest > 0, largest, 1.0)  # squares neither vanish nor overflow
    unit: Tensor = vector / torch.linalg.vector_norm(vector).clamp(min=1.0)
    return unit


def _split(values: Tensor, u: Tensor, integers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take away what is along u from each row, and round the rest to integers, shape (n_levels, n, p).

    Returns: of each row what is along u, the unit of the integers, the length of the rest, and what rounding loses.
    """
    along = values @ u
    rest = values.to(torch.float32).addr_(along.to(torch.float32), u.to(torch.float32), alpha=-1)
    unit = rest.abs().amax(dim=1).div_(MOST).clamp_(min=torch.finfo(torch.float32).tiny)
    length = torch.linalg.vector_norm(rest.div_(unit[:, None]), dim=1)
    for i, level in enumerate(integers):
        whole = rest.mul_(FINER if i else 1).round()
        level.copy_(whole)
        rest.sub_(whole)
    unit = unit.to(torch.float64)
    lost = torch.linalg.vector_norm(rest, dim=1) / FINER ** (len(integers) - 1)
    return along, unit, length * unit, lost * unit


def _is_fast_and_exact(device: torch.device, p: int) -> bool:
    """Whether 8-bit integers are multiplied quickly and right: older processors cut off large sums.

    For p = 1, torch 2.13 returns wrong products.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512" or not 1 < p < 2**31 // MOST**2:
        return False
    largest = torch.full((64, p), MOST, dtype=torch.int8)
    sums = torch._int_mm(largest, torch.stack([largest[0], -largest[0]]).T)
    return bool((sums == torch.tensor([p * MOST**2, -p * MOST**2])).all())

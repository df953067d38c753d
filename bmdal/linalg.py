"""Cholesky factors that report jitter, and passes over matrices in blocks of rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from bmdal.errors import BmdalError

BLOCK_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20}
"""Memory for intermediate results for one block of rows.

On a CPU, as much as fits its cache. On a GPU, a pass over a block should take longer (some 0.1 ms) than launching its
kernels; larger blocks would gain nothing.
"""


class JitterWarning(RuntimeWarning):
    """A matrix was not positive definite in floating point, so a multiple of the identity was added to it."""


def blocks(n: int, row_bytes: int, device: torch.device) -> Iterator[slice]:
    """Slices that divide n rows into blocks of about BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES[device.type] // max(1, row_bytes))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def squared_norms(A: Tensor) -> Tensor:
    """|a_i|^2 of the rows of A, shape (n,), in one pass over A."""
    norms: Tensor = torch.linalg.vector_norm(A, dim=1)
    return norms.square_()


def quadratic_forms(Phi: Tensor, M: Tensor) -> Tensor:
    """phi_i^T M phi_i, shape (n,), for a symmetric M, whose two equal blocks are multiplied once."""
    values, half = Phi.new_empty(len(Phi)), len(M) // 2
    for rows in blocks(len(Phi), 8 * len(M), Phi.device):
        first, second = Phi[rows, :half], Phi[rows, half:]
        with_first = torch.addmm(first @ M[:half, :half], second, M[half:, :half], alpha=2)
        values[rows] = (with_first * first).sum(dim=1) + ((second @ M[half:, half:]) * second).sum(dim=1)
    return values


def cholesky(A: Tensor, shift: float) -> Tensor:
    """Lower Cholesky factor of A + shift I, shape (n, n), for positive semidefinite A.

    If rounding makes the matrix indefinite, jitter is added to its diagonal, ten times more with each attempt, and
    reported by a JitterWarning. Raises BmdalError if that does not help (A has NaN or is not positive semidefinite).
    """
    mean = float(A.diagonal().mean())
    A = A + shift * torch.eye(len(A), dtype=A.dtype, device=A.device)
    smallest = torch.finfo(A.dtype).eps * max(mean, shift)
    for exponent in range(8):
        jitter = 0.0 if exponent == 0 else smallest * 10**exponent
        L: Tensor
        L, info = torch.linalg.cholesky_ex(A if jitter == 0.0 else A + jitter * torch.eye(len(A)).to(A))
        if not int(info):
            if jitter:
                message = f"kernel matrix of size {len(A)} is singular to rounding: added jitter {jitter:.1e}"
                warnings.warn(f"{message} to its diagonal (mean {mean:.1e})", JitterWarning, stacklevel=2)
            return L
    raise BmdalError(
        f"kernel matrix of size {len(A)} has no Cholesky factor even with jitter {jitter:.1e}; "
        "are some features huge or not finite? Scale inputs and targets to about 1"
    )


def inverse_root(A: Tensor, shift: float) -> Tensor:
    """R with R R^T = (A + shift I)^-1, upper triangular, shape (n, n); jitter and errors as for `cholesky`."""
    L = cholesky(A, shift)
    inverse: Tensor = torch.linalg.solve_triangular(L, torch.eye(len(L)).to(L), upper=False)
    return inverse.T


def largest_eigenvalue(A: Tensor) -> float:
    """Of a positive semidefinite matrix, shape (n, n), to 8 digits or more; 0 for a matrix of zeros.

    tr(A B) with B = A^m / tr(A^m), m a power of two, which tends to the projection on its eigenvectors: products of
    matrices alone, on a GPU a fraction of the time of a decomposition. Of eigenvalues so close that m = 2^30 does not
    part them the result is a mean.
    """
    trace = A.trace()
    if not bool(trace > 0):
        return 0.0
    B = A / trace
    for _ in range(30):
        B = B @ B
        squared = B.trace()  # 1 for a projection on one vector
        B /= squared
        if bool(squared > 1 - 1e-9):
            break
    return float((A * B).sum())


def spread(values: Tensor) -> Tensor:
    """Standard deviation of each column, shape (columns,); 1 for a column that is constant up to rounding.

    values: shape (n, columns), in the precision in which they were computed.
    """
    eps, values = torch.finfo(values.dtype).eps, values.double()
    deviation = values.std(dim=0, correction=0)
    rounding = 64 * eps * values.abs().amax(dim=0)
    return torch.where(deviation > rounding, deviation, 1.0)

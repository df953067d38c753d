"""Scores of greedy selections in 80-bit arithmetic: which of two candidates is really better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal import Method
from bmdal.features import DenseFeatures, Features, SumFeatures
from bmdal.network.network import Network
from bmdal.transformations import Scale, Train

Array = NDArray[np.longdouble]


def exact_scores(
    method: Method, Phi_train: Tensor, Phi_pool: Tensor, selected: Sequence[int], candidates: Sequence[int]
) -> Array:
    """Scores of candidates for the next place of a batch by `maxdet`, `bait-f` or `fw`.

    Args:
        Phi_train, Phi_pool: explicit features of the base kernel, shapes (n_train, p), (n_pool, p).
        selected: the pool points that have been selected so far.
    """
    sigma2, pool, precision, M = _problem(method, Phi_train, Phi_pool)
    if method.selection.name == "fw":
        return _frank_wolfe(_posterior_features(precision, pool, sigma2), selected, candidates)
    root = _posterior_root(precision + pool[list(selected)].T @ pool[list(selected)], sigma2)
    half = pool[list(candidates)] @ root
    variance = (half**2).sum(axis=1)
    if method.selection.name == "maxdet":
        return variance
    drop = np.einsum("ij,jk,ik->i", half @ root.T, M, half @ root.T, optimize=True)
    return drop / (variance + sigma2)


def exact_backward(method: Method, Phi_train: Tensor, Phi_pool: Tensor, selected: Sequence[int], n: int) -> list[int]:
    """What remains of the selected points after the backward steps of `bait-fb`, in their order, n points."""
    sigma2, pool, precision, M = _problem(method, Phi_train, Phi_pool)
    root = _posterior_root(precision + pool[list(selected)].T @ pool[list(selected)], sigma2)
    A, remaining = root @ root.T, list(selected)
    while len(remaining) > n:
        half = pool[remaining] @ A
        gap = sigma2 - (half * pool[remaining]).sum(axis=1)
        worst = int(np.argmin(np.einsum("ij,jk,ik->i", half, M, half, optimize=True) / gap))
        A += np.outer(half[worst], half[worst]) / gap[worst]
        del remaining[worst]
    return remaining


def exact_variance(
    method: Method, train: Features, pool: Features, selected: Sequence[int], candidates: Sequence[int]
) -> Array:
    """Scores of candidates for the next place of a batch by `maxdet`, from features without a matrix."""
    n_train, sigma2 = len(train), np.longdouble(method.sigma) ** 2
    rows = torch.tensor([*selected, *candidates])
    points = type(pool)(tuple(_joined(a, b[rows]) for a, b in zip(train.parts, pool.parts, strict=True)))
    K = _exact_kernel(points)
    if method.transformations:
        K /= K.diagonal()[:n_train].mean()
    n_conditions = sum(isinstance(t, Train) for t in method.transformations) + (method.mode == "TP")
    first = n_train if n_conditions == 0 else 0  # without conditions the training points are not observed
    observed, new = slice(first, n_train + len(selected)), slice(n_train + len(selected), None)
    noise = np.full(n_train + len(selected), sigma2)
    noise[:n_train] /= max(n_conditions, 1)  # observed twice with one noise is observed once with half of it
    root = _posterior_root(K[observed, observed] + np.diag(noise[observed]), np.longdouble(1))
    return K.diagonal()[new] - ((K[new, observed] @ root) ** 2).sum(axis=1)


def _joined(a: Features, b: Features) -> Features:
    return a.with_tensors([torch.cat(pair) for pair in zip(a.tensors(), b.tensors(), strict=True)])


def _exact_kernel(features: Features) -> Array:
    if isinstance(features, DenseFeatures):
        Phi = features.Phi.numpy().astype(np.longdouble)
        return Phi @ Phi.T
    kernels = [_exact_kernel(part) for part in features.parts]
    return sum(kernels) if isinstance(features, SumFeatures) else np.prod(kernels, axis=0)


def _problem(method: Method, Phi_train: Tensor, Phi_pool: Tensor) -> tuple[np.longdouble, Array, Array, Array]:
    """sigma^2, scaled pool features, precision before anything is selected (times sigma^2), second moments."""
    sigma2 = np.longdouble(method.sigma) ** 2
    train, pool = (Phi.numpy().astype(np.longdouble) for Phi in (Phi_train, Phi_pool))
    # The sums over all points need no such care: they have no cancellation.
    M = (Phi_train.T @ Phi_train + Phi_pool.T @ Phi_pool).numpy().astype(np.longdouble)
    if any(isinstance(t, Scale | Train) for t in method.transformations):
        factor = (train**2).sum(axis=1).mean()
        train, pool, M = train / np.sqrt(factor), pool / np.sqrt(factor), M / factor
    # Posteriors after the same points twice, by `train` and by mode TP, add their precisions.
    n_conditions = sum(isinstance(t, Train) for t in method.transformations) + (method.mode == "TP")
    precision = sigma2 * np.eye(pool.shape[1], dtype=np.longdouble) + n_conditions * train.T @ train
    return sigma2, pool, precision, M


def _frank_wolfe(Phi: Array, selected: Sequence[int], candidates: Sequence[int]) -> Array:
    u, w, norms = Phi.sum(axis=0), np.zeros(Phi.shape[1], dtype=np.longdouble), np.sqrt((Phi**2).sum(axis=1))
    for i in selected:
        t = norms.sum() * Phi[i] / norms[i]
        g = (t - w) @ (u - w) / ((t - w) @ (t - w))
        w = (1 - g) * w + g * t
    return Phi[list(candidates)] @ (u - w) / norms[list(candidates)]


def _posterior_features(precision: Array, Phi: Array, sigma2: np.longdouble) -> Array:
    return Phi @ _posterior_root(precision, sigma2)


def _posterior_root(precision: Array, sigma2: np.longdouble) -> Array:
    """R with R R^T = sigma^2 precision^-1, by Cholesky decomposition and forward substitution."""
    L = precision.copy()
    p = len(L)
    for j in range(p):
        L[j:, j] -= L[j:, :j] @ L[j, :j]
        L[j:, j] /= np.sqrt(L[j, j])
        L[j, j + 1 :] = 0
    inverse = np.zeros_like(L)
    for j in range(p):
        inverse[j] = -L[j, :j] @ inverse[:j]
        inverse[j, j] += 1
        inverse[j] /= L[j, j]
    return np.sqrt(sigma2) * inverse.T


def base_features(method: Method, network: torch.nn.Module, X: Tensor) -> Features:
    """Features of the base kernel alone."""
    assert method.kernel is not None
    return method.kernel.features(Network(network, X[:16]), X)

"""Selection methods as they are defined, in float64 and without any thought of speed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from toys import naive_posterior


def distances(K: Tensor) -> np.ndarray:
    diag = K.diagonal()
    return (diag[:, None] + diag[None, :] - 2 * K).clamp(min=0).numpy()


def maxdist(K: Tensor, n_pool: int, selected: list[int], batch_size: int) -> list[int]:
    """K: kernel matrix of pool and training points; `selected`: rows that count as selected."""
    D, S, batch = distances(K), list(selected), []
    for _ in range(batch_size):
        free = [i for i in range(n_pool) if i not in batch]
        score = (lambda i: min(D[i, s] for s in S)) if S else (lambda i: float(K[i, i]))
        batch.append(max(free, key=score))
        S.append(batch[-1])
    return batch


def lcmd(K: Tensor, n_pool: int, selected: list[int], batch_size: int) -> list[int]:
    D, S, batch = distances(K), list(selected), []
    for _ in range(batch_size):
        free = [i for i in range(n_pool) if i not in batch]
        if not S:
            batch.append(max(free, key=lambda i: float(K[i, i])))
        else:
            centre = {i: min(S, key=lambda s: D[i, s]) for i in range(n_pool)}
            size = {s: sum(D[i, s] for i in range(n_pool) if centre[i] == s) for s in S}
            largest = max(S, key=lambda s: size[s])
            batch.append(max((i for i in free if centre[i] == largest), key=lambda i: D[i, largest]))
        S.append(batch[-1])
    return batch


def _posterior_variance(K: Tensor, S: list[int], sigma: float) -> Tensor:
    """k_S(x, x') for all pairs of points."""
    if not S:
        return K
    return naive_posterior(K, K[:, S], K[S][:, S], sigma)


def maxdet(K: Tensor, n_pool: int, selected: list[int], batch_size: int, sigma: float) -> list[int]:
    S, batch = list(selected), []
    for _ in range(batch_size):
        variance = _posterior_variance(K, S, sigma).diagonal()
        batch.append(max((i for i in range(n_pool) if i not in batch), key=lambda i: float(variance[i])))
        S.append(batch[-1])
    return batch


def bait_forward(K: Tensor, n_pool: int, selected: list[int], batch_size: int, sigma: float) -> list[int]:
    """By the definition: the drop of the trace of the posterior kernel matrix over all points."""
    S, batch = list(selected), []
    for _ in range(batch_size):
        free = [i for i in range(n_pool) if i not in batch]
        batch.append(min(free, key=lambda i: float(_posterior_variance(K, [*S, i], sigma).trace())))
        S.append(batch[-1])
    return batch


def variance_of_targets(
    K: Tensor, n_pool: int, target: list[int], selected: list[int], batch_size: int, sigma: float
) -> list[int]:
    """The drop of the summed posterior variance of some points, `target` being their rows in K."""
    S, batch = list(selected), []
    for _ in range(batch_size):
        free = [i for i in range(n_pool) if i not in batch]
        after = {i: float(_posterior_variance(K, [*S, i], sigma).diagonal()[target].sum()) for i in free}
        batch.append(min(free, key=after.__getitem__))
        S.append(batch[-1])
    return batch


def epig(K: Tensor, n_pool: int, target: list[int], selected: list[int], batch_size: int, sigma: float) -> list[int]:
    """The mean mutual information of the labels of x and of t, from their 2 x 2 covariance matrices."""
    S, batch = list(selected), []
    for _ in range(batch_size):
        posterior = _posterior_variance(K, S, sigma)

        def information(x: int, posterior: Tensor = posterior) -> float:
            joint = [posterior[[x, t]][:, [x, t]] + sigma**2 * torch.eye(2, dtype=K.dtype) for t in target]
            return float(np.mean([0.5 * float((A[0, 0] * A[1, 1]).log() - torch.logdet(A)) for A in joint]))

        batch.append(max((i for i in range(n_pool) if i not in batch), key=information))
        S.append(batch[-1])
    return batch


def maxherding(
    K: Tensor, n_pool: int, sample: list[int], selected: list[int], batch_size: int, weights: Tensor | None = None
) -> list[int]:
    """`sample`: rows of K; the weights of the sample, shape (len(sample),), are 1 by default."""
    norms = K.diagonal().sqrt()
    d2 = distances(K / norms[:, None] / norms).clip(0)
    pairs = [d2[s, t] for i, s in enumerate(sample) for t in sample[:i]]
    kappa = np.exp(-d2[:, sample] / sorted(pairs)[(len(pairs) - 1) // 2])
    w = np.ones(len(sample)) if weights is None else weights.numpy()
    S, batch = list(selected), []
    for _ in range(batch_size):
        covered = [max((kappa[z, t] for z in S), default=0.0) for t in range(len(sample))]
        gain = {i: round(w @ np.maximum(kappa[i] - covered, 0), 9) for i in range(n_pool) if i not in batch}
        batch.append(max(gain, key=gain.__getitem__))
        S.append(batch[-1])
    return batch


def igs(K: Tensor, n_pool: int, y: list[float], f: list[float], batch_size: int) -> list[int]:
    """`y`: labels of the rows of K after the pool; `f`: predictions for the pool."""
    D = np.sqrt(distances(K))
    labelled, batch = {n_pool + i: label for i, label in enumerate(y)}, list[int]()
    for _ in range(batch_size):
        free = [i for i in range(n_pool) if i not in batch]
        batch.append(max(free, key=lambda i: min(D[i, z] * abs(f[i] - label) for z, label in labelled.items())))
        labelled[batch[-1]] = f[batch[-1]]
    return batch


def rpcholesky(K: Tensor, n_pool: int, selected: list[int], u: list[float], sigma: float) -> list[int]:
    """`u`: uniform numbers in (0, 1], one for each point."""
    S, batch = list(selected), list[int]()
    for number in u:
        variance = _posterior_variance(K, S, sigma).diagonal()[:n_pool].clone()
        variance[batch] = 0
        sums = np.cumsum(variance.numpy())
        batch.append(next(i for i in range(n_pool) if sums[i] >= number * sums[-1]))
        S.append(batch[-1])
    return batch


def bait_forward_backward(K: Tensor, n_pool: int, selected: list[int], batch_size: int, sigma: float) -> list[int]:
    batch = bait_forward(K, n_pool, selected, 2 * batch_size, sigma)
    while len(batch) > batch_size:
        without = {i: [*selected, *(j for j in batch if j != i)] for i in batch}
        batch.remove(min(batch, key=lambda i: float(_posterior_variance(K, without[i], sigma).trace())))
    return batch


def frank_wolfe(Phi: Tensor, batch_size: int) -> list[int]:
    u, w = Phi.sum(dim=0), torch.zeros(Phi.shape[1], dtype=Phi.dtype)
    norms = Phi.norm(dim=1)
    batch: list[int] = []
    for _ in range(batch_size):
        free = [i for i in range(len(Phi)) if i not in batch]
        i = max(free, key=lambda i: float((u - w) @ Phi[i] / norms[i]))
        t = norms.sum() * Phi[i] / norms[i]
        g = float((t - w) @ (u - w) / ((t - w) @ (t - w)))
        w = (1 - g) * w + g * t
        batch.append(i)
    return batch

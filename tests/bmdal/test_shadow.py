"""Features as 8-bit integers: their bounds hold, and what is selected with them is what the definition says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from toys import generator, normal

from bmdal.features import DenseFeatures
from bmdal.selection import (
    BaitForward,
    BaitForwardBackward,
    FrankWolfe,
    MaxDet,
    Mode,
    Selection,
    SelectionProblem,
    bait_bounded,
    lazy,
    maxdet,
    shadow,
)
from bmdal.selection.shadow import Shadow

pytestmark = pytest.mark.skipif(
    not shadow._is_fast_and_exact(torch.device("cpu"), 8), reason="this processor reads the features themselves"
)

SIGMA, N, P = 0.1, 150, 12


@pytest.fixture(autouse=True)
def for_few_points() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadow, "N_FEWEST", 1)
        yield


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_products_are_within_the_bounds(data: st.DataObject) -> None:
    """Also of rows and vectors of zeros, of one large entry beside tiny ones, and of the smallest numbers there are."""
    numbers = st.one_of(
        st.floats(-1, 1), st.builds(lambda x, e: x * 10.0**e, st.floats(-1, 1), st.integers(-150, 30)), st.just(0.0)
    )
    p = data.draw(st.integers(2, 7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadow, "N_FEWEST", 1)
        Phi = torch.from_numpy(data.draw(arrays(float, (data.draw(st.integers(1, 6)), p), elements=numbers)))
        if data.draw(st.booleans()):
            Phi = Phi + torch.from_numpy(data.draw(arrays(float, p, elements=numbers)))  # all in about one direction
        vectors = torch.from_numpy(data.draw(arrays(float, (3, p), elements=numbers)))
        features = Shadow.of(Phi)
    assert features is not None
    together = features.times(vectors)
    products, factors = torch.cat([together.of(0), together.of(1, 2)]), together.off
    for i, row in enumerate(Phi.tolist()):
        for j, vector in enumerate(vectors.tolist()):
            exact = sum(x * y for x, y in zip(row, vector, strict=True))
            rounding = 1e-14 * sum(abs(x * y) for x, y in zip(row, vector, strict=True)) + 1e-300
            assert abs(float(products[j, i]) - exact) <= factors[j] * float(features.error[i]) + rounding


def test_the_error_is_small() -> None:
    """About 1 % of what is not along the mean."""
    rest, vectors = normal(500, 64), normal(3, 64, seed=1)
    for Phi in (rest, rest + 100):
        features = Shadow.of(Phi)
        assert features is not None
        products = features.times(vectors)
        size = torch.outer(vectors.norm(dim=1), rest.norm(dim=1))
        assert bool((torch.outer(torch.tensor(products.off), features.error) < 0.02 * size).all())
        assert bool(((torch.cat([products.of(j) for j in range(3)]) - vectors @ Phi.T).abs() < 0.007 * size).all())


def test_no_shadow_where_it_cannot_help(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shadow.of(torch.full((9, 3), torch.nan, dtype=torch.float64)) is None
    assert Shadow.of(1e39 * normal(9, 3)) is None  # beyond float32
    assert Shadow.of(normal(9, 1)) is None
    monkeypatch.setattr(shadow, "N_FEWEST", 10)
    assert Shadow.of(normal(9, 3)) is None
    assert Shadow.of(normal(10, 3)) is not None
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert Shadow.of(normal(10, 3)) is None


def pools() -> dict[str, Tensor]:
    """Pools of N points or fewer whose scores are far apart, close together, equal, or zero."""
    g = generator(3)
    ordinary = normal(N, P)
    return {
        "ordinary": ordinary,
        "copies": normal(N // 5, P).repeat(5, 1),
        "near copies": normal(N // 5, P).repeat(5, 1) + 1e-9 * ordinary,
        "scales": ordinary * torch.logspace(-6, 6, P, dtype=torch.float64),
        "one huge point": torch.cat([ordinary, 1e6 * ordinary[:1]]),
        "zeros": torch.where(torch.rand(N, 1, generator=g) < 0.5, ordinary, 0.0),
        "fewer points than features": normal(20, 40),
        "falling": ordinary * torch.logspace(0, -3, P, dtype=torch.float64) + 0.5,
        "equal lengths": torch.sign(ordinary),
        "one direction": torch.rand(N, 1, generator=g, dtype=torch.float64) * ordinary[:1],
    }


def bait_scores(Phi: Tensor, Phi_train: Tensor, chosen: list[int]) -> tuple[Tensor, Tensor]:
    """q / (k_S + sigma^2) by the definition, and rounding errors: relative to the posterior computed with float64."""
    everything = torch.cat([Phi_train, Phi])
    k = _posterior(everything, Phi, Phi[chosen])
    diag = _posterior(Phi, Phi, Phi[chosen]).diagonal() + SIGMA**2
    scores = k.square().sum(dim=0) / diag
    first = (everything @ Phi.T).square().sum(dim=0) / diag
    return scores, 1e-9 * scores + 1e-12 * first


def _posterior(left: Tensor, right: Tensor, S: Tensor) -> Tensor:
    """phi^T (S^T S / sigma^2 + I)^-1 phi', from a QR decomposition, which squares no condition number."""
    R = torch.linalg.qr(torch.cat([S / SIGMA, torch.eye(S.shape[1], dtype=torch.float64)])).R
    return torch.linalg.solve_triangular(R.T, left.T, upper=False).T @ torch.linalg.solve_triangular(
        R.T, right.T, upper=False
    )


@pytest.mark.parametrize("name", pools())
@pytest.mark.parametrize("together", [False, True])
def test_bait_takes_the_largest_score(name: str, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the definition with float64, up to rounding; `together`: all points are computed whenever two are in doubt."""
    if together:
        monkeypatch.setattr(bait_bounded, "FEW", len(pools()[name]) // 2)
    Phi, train = pools()[name], normal(4, pools()[name].shape[1], seed=9)
    batch = BaitForward().select(_problem(Phi, train), min(len(Phi), 60)).tolist()
    assert len(set(batch)) == len(batch)
    for i, index in enumerate(batch):
        scores, rounding = bait_scores(Phi, train, batch[:i])
        free = torch.ones(len(Phi), dtype=torch.bool)
        free[batch[:i]] = False
        best = int(torch.where(free, scores, -1.0).argmax())
        assert scores[index] >= scores[best] - rounding[index] - rounding[best], (i, index, best)


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("selection", [BaitForward(), BaitForwardBackward()], ids=str)
@pytest.mark.parametrize("name", ["ordinary", "falling", "fewer points than features"])
def test_bait_with_and_without(name: str, selection: Selection, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch, down to the whole pool."""
    Phi, train = pools()[name], normal(4, pools()[name].shape[1], seed=9)
    for batch_size in (10, len(Phi) // 2, len(Phi)):
        batch = selection.select(_problem(Phi, train, mode), batch_size).tolist()
        with monkeypatch.context() as patch:
            patch.setattr(shadow, "N_FEWEST", 10**9)
            whole = selection.select(_problem(Phi, train, mode), batch_size).tolist()
        assert batch[:30] == whole[:30]
        assert sorted(batch) == sorted(set(batch))
        assert len(batch) == len(whole)


@pytest.mark.parametrize("selection", [BaitForward(), FrankWolfe()], ids=str)
def test_vectors_beyond_float32(selection: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points may have the largest score then, so all are computed."""
    for size in (1e20, 1e37):
        batch = selection.select(_problem(size * normal(N, P), normal(4, P)), 8).tolist()
        with monkeypatch.context() as patch:
            patch.setattr(shadow, "N_FEWEST", 10**9)
            assert selection.select(_problem(size * normal(N, P), normal(4, P)), 8).tolist() == batch


def test_some_products_are_read_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    times = Shadow.times
    monkeypatch.setattr(Shadow, "times", lambda *args: (passes.append(1), times(*args))[1])
    for selection, most in ((BaitForward(), 45), (FrankWolfe(), 49)):
        passes.clear()
        selection.select(_problem(normal(3000, 64), normal(4, 64)), 50)
        assert 0 < len(passes) < most


def test_bait_makes_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none at all any more where it would need one for each point, as for points that are all alike."""
    passes: list[int] = []
    bounded = bait_bounded.BoundedVariances
    compute_all = bounded._compute_all
    monkeypatch.setattr(bounded, "_compute_all", lambda state: (passes.append(1), compute_all(state)))
    BaitForward().select(_problem(normal(3000, 64), normal(4, 64)), 50)
    assert 0 < len(passes) < 25
    passes.clear()
    alike = torch.eye(64, dtype=torch.float64).repeat(40, 1)
    BaitForward().select(_problem(alike, alike[:0]), 50)
    assert len(passes) == bait_bounded.IN_VAIN + 1


@pytest.mark.parametrize("name", pools())
def test_frank_wolfe_takes_the_largest_score(name: str) -> None:
    Phi = pools()[name]
    batch = FrankWolfe().select(_problem(Phi, Phi[:0]), 40).tolist()
    norms, u, w = Phi.norm(dim=1), Phi.sum(dim=0), torch.zeros(Phi.shape[1], dtype=torch.float64)
    free = norms > 0
    for i, index in enumerate(batch):
        scores = torch.where(free, Phi @ (u - w) / norms, -torch.inf)
        assert scores[index] >= scores.max() - 1e-12 * norms.sum(), (i, index)
        t = norms.sum() * Phi[index] / norms[index]
        g = (t - w) @ (u - w) / ((t - w) @ (t - w))
        w, free[index] = (1 - g) * w + g * t, False


@pytest.mark.parametrize("name", pools())
@pytest.mark.parametrize(("n_front", "together"), [(4096, 64), (3, 5)])
def test_maxdet_takes_the_largest_variance(
    name: str, n_front: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In feature space, where the matrix is updated and the front chosen again many times."""
    monkeypatch.setattr(lazy, "N_FRONT", n_front)
    monkeypatch.setattr(maxdet._FeatureSpace, "N_TOGETHER", together)
    Phi = pools()[name]
    batch = MaxDet().select(_problem(Phi, Phi[:0]), min(len(Phi), 60)).tolist()
    assert len(set(batch)) == len(batch)
    first = Phi.square().sum(dim=1)
    for i, index in enumerate(batch):
        variance = _posterior(Phi, Phi, Phi[batch[:i]]).diagonal().clone()
        variance[batch[:i]] = -1.0
        best = int(variance.argmax())
        assert variance[index] >= variance[best] * (1 - 1e-9) - 1e-12 * (first[index] + first[best]), (i, index, best)


def _problem(Phi: Tensor, train: Tensor, mode: Mode = "P") -> SelectionProblem:
    return SelectionProblem(DenseFeatures(train), DenseFeatures(Phi), mode, SIGMA, generator())

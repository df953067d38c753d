"""The contract of selection methods, and each against its naive version."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import naive
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from toys import generator, normal

from bmdal import IncompatibleError, Method
from bmdal.features import DenseFeatures, Features, NNGPFeatures, ProductFeatures, SumFeatures
from bmdal.linalg import BLOCK_BYTES
from bmdal.selection import (
    EPIG,
    IGS,
    LCMD,
    BaitForward,
    BaitForwardBackward,
    FrankWolfe,
    KMeansPP,
    MaxDet,
    MaxDiag,
    MaxDist,
    MaxHerding,
    Mode,
    Outcomes,
    Power,
    Random,
    RPCholesky,
    Selection,
    SelectionProblem,
    UHerding,
    distances,
    herding,
    shadow,
)
from bmdal.selection.distances import PrincipalBound
from bmdal.testing import check_selection

BAIT = [BaitForward(), BaitForwardBackward()]
HERDING = [MaxHerding(), UHerding()]
ALL = [Random(), MaxDiag(), MaxDist(), KMeansPP(), LCMD(), MaxDet(), *BAIT, FrankWolfe(), EPIG()]
ALL += [*HERDING, Power(), RPCholesky(), IGS()]
ALL_WITH_MODES = [(s, mode) for s in ALL for mode in (s.modes or (None,))]
SIGMA = 0.3
N_POOL, N_TRAIN, P = 40, 6, 5


def problem(pool: Tensor, train: Tensor, mode: Mode | None, sigma: float = SIGMA, seed: int = 0) -> SelectionProblem:
    outcomes = Outcomes(label(train), predict(train), predict(pool))
    return SelectionProblem(DenseFeatures(train), DenseFeatures(pool), mode, sigma, generator(seed), outcomes=outcomes)


def predict(X: Tensor) -> Tensor:
    return X.sum(dim=1).double()


def label(X: Tensor) -> Tensor:
    return predict(X) + X[:, 0].double() ** 2


@pytest.fixture(params=range(3))
def data(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    return normal(N_POOL, P, seed=request.param), normal(N_TRAIN, P, seed=request.param + 100)


@pytest.mark.parametrize("selection", ALL, ids=str)
def test_contract(selection: Selection) -> None:
    check_selection(selection)


@pytest.mark.parametrize(("selection", "mode"), ALL_WITH_MODES, ids=str)
class TestEdges:
    def test_batch_is_the_whole_pool(self, selection: Selection, mode: Mode, data: tuple[Tensor, Tensor]) -> None:
        pool, train = data
        batch = selection.select(problem(pool[:4], train, mode), 4)
        if not isinstance(selection, FrankWolfe):  # which stops when nothing points towards the mean any more
            assert sorted(batch.tolist()) == [0, 1, 2, 3]

    def test_nothing_to_choose_by(self, selection: Selection, mode: Mode) -> None:
        """A kernel that vanishes: the batch stays short."""
        zeros = torch.zeros(8, 3, dtype=torch.float64)
        batch = selection.select(problem(zeros, zeros[:2], mode), 4)
        if selection.needs_kernel and not isinstance(selection, MaxDiag):
            assert len(batch) <= 1  # k-means++ takes its first point without looking

    def test_duplicates_have_no_distance(self, selection: Selection, mode: Mode) -> None:
        """3 distinct points, 10 times each, in float32."""
        pool = normal(3, P).repeat(10, 1).float()
        batch = selection.select(problem(pool, normal(2, P, seed=5).float(), mode), 12)
        if isinstance(selection, MaxDist | LCMD | KMeansPP | MaxHerding | IGS):
            assert len(batch) == 3


def test_the_contract_finds_what_is_wrong() -> None:
    """Selections that break it, one way each."""

    class Twice(MaxDiag):
        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            return torch.zeros(batch_size, dtype=torch.long)

    class Global(MaxDiag):
        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            return torch.randperm(len(problem.pool))[:batch_size]

    class Changing(MaxDiag):
        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            problem.pool.matrix().mul_(2)
            return super().select(problem, batch_size)

    class Implicit(MaxDiag):
        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            return problem.pool.matrix().norm(dim=1).topk(batch_size).indices

    class Listing(MaxDiag):
        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            return super().select(problem, batch_size).tolist()

    with pytest.raises(AssertionError, match="needs_explicit = True"):
        check_selection(Implicit())
    with pytest.raises(AssertionError, match="not a list"):
        check_selection(Listing())
    with pytest.raises(AssertionError, match=r"pass an instance, MaxDiag\(\)"):
        check_selection(MaxDiag)
    for broken, message in ((Twice(), "selected twice"), (Global(), "different indices"), (Changing(), "were changed")):
        with pytest.raises(AssertionError, match=message):
            check_selection(broken)


def uniform(n: int) -> list[float]:
    """1 - u for the numbers that a selection draws."""
    return (1 - torch.rand(n, generator=generator(), dtype=torch.float64)).tolist()


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize(
    ("selection", "naive_version"),
    [
        (MaxDist(), lambda *a: naive.maxdist(*a)),
        (LCMD(), lambda *a: naive.lcmd(*a)),
        (MaxDet(), lambda *a: naive.maxdet(*a, sigma=SIGMA)),
        (BaitForward(), lambda *a: naive.bait_forward(*a, sigma=SIGMA)),
        (BaitForwardBackward(), lambda *a: naive.bait_forward_backward(*a, sigma=SIGMA)),
        (MaxHerding(), lambda K, n, S, b: naive.maxherding(K, n, list(range(n)), S, b)),
        (UHerding(), lambda K, n, S, b: naive.maxherding(K, n, list(range(n)), S, b, K.diagonal()[:n])),
        (RPCholesky(), lambda K, n, S, b: naive.rpcholesky(K, n, S, uniform(b), SIGMA)),
    ],
    ids=["maxdist", "lcmd", "maxdet", "bait-f", "bait-fb", "maxherding", "uherding", "rpcholesky"],
)
def test_equals_naive_version(
    selection: Selection, naive_version: Callable[..., list[int]], mode: Mode, data: tuple[Tensor, Tensor]
) -> None:
    pool, train = data
    X = torch.cat([pool, train])
    selected = list(range(N_POOL, len(X))) if mode == "TP" else []
    expected = naive_version(X @ X.T, N_POOL, selected, 12)
    assert selection.select(problem(pool, train, mode), 12).tolist() == expected


def test_frank_wolfe_equals_naive_version(data: tuple[Tensor, Tensor]) -> None:
    assert FrankWolfe().select(problem(*data, "P"), 12).tolist() == naive.frank_wolfe(data[0], 12)


def test_maxdiag_takes_the_largest(data: tuple[Tensor, Tensor]) -> None:
    norms = data[0].square().sum(dim=1)
    assert MaxDiag().select(problem(*data, None), 12).tolist() == norms.argsort(descending=True)[:12].tolist()


def test_igs_equals_naive_version(data: tuple[Tensor, Tensor]) -> None:
    pool, train = data
    X = torch.cat([pool, train])
    expected = naive.igs(X @ X.T, N_POOL, label(train).tolist(), predict(pool).tolist(), 12)
    assert IGS().select(problem(pool, train, "TP"), 12).tolist() == expected
    assert expected != naive.maxdist(X @ X.T, N_POOL, list(range(N_POOL, len(X))), 12)


def test_power_is_maxdiag_with_noise(data: tuple[Tensor, Tensor]) -> None:
    u = torch.rand(N_POOL, generator=generator(), dtype=torch.float64)
    scores = data[0].square().sum(dim=1).log() - (-u.log()).log()
    scored: dict[int, float] = {}
    given = dataclasses.replace(problem(*data, None), on_pick=scored.__setitem__)
    assert Power().select(given, 12).tolist() == scores.argsort(descending=True)[:12].tolist()
    torch.testing.assert_close(
        torch.tensor(list(scored.values())).log(), scores.sort(descending=True).values[:12].float()
    )


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("selection", [MaxDist(), LCMD(), MaxDet()], ids=str)
def test_kernels_without_a_matrix(selection: Selection, mode: Mode, data: tuple[Tensor, Tensor]) -> None:
    def nngp(X: Tensor) -> Features:
        return NNGPFeatures(X, 3, 1.2)

    def product(X: Tensor) -> Features:
        return ProductFeatures((DenseFeatures(X), DenseFeatures(X**2)))

    pool, train = data
    X = torch.cat([pool, train])
    selected = list(range(N_POOL, len(X))) if mode == "TP" else []
    for build in (nngp, product):
        naive_version = getattr(naive, selection.name)
        args = (SIGMA,) if isinstance(selection, MaxDet) else ()
        expected = naive_version(build(X).kernel(build(X)), N_POOL, selected, 12, *args)
        chosen = selection.select(SelectionProblem(build(train), build(pool), mode, SIGMA, generator()), 12)
        assert chosen.tolist() == expected


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("sigma", [1e-6, 1e6])
def test_limits_of_sigma(mode: Mode, sigma: float, data: tuple[Tensor, Tensor]) -> None:
    """Without noise nothing is chosen that is known already; with overwhelming noise only k(x, x) counts."""
    pool, train = data
    batch = MaxDet().select(problem(pool, train[:0] if mode == "P" else train[:2], mode, sigma), 3).tolist()
    if sigma == 1e6:
        assert batch == pool.square().sum(dim=1).argsort(descending=True)[:3].tolist()
    else:
        rank = torch.linalg.matrix_rank(torch.cat([pool[batch], train[: 0 if mode == "P" else 2]]))
        assert rank == (3 if mode == "P" else 5)


def test_kmeanspp_frequencies() -> None:
    """The second point of k-means++, given the first, follows the squared distances: chi-square test, p > 0.001."""
    train = torch.zeros(1, 1, dtype=torch.float64)
    pool = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1.0]], dtype=torch.float64)
    g = generator(1)
    counts = torch.zeros(5)
    for _ in range(4000):
        chosen = KMeansPP().select(SelectionProblem(DenseFeatures(train), DenseFeatures(pool), "TP", 1.0, g), 1)
        counts[int(chosen)] += 1
    assert counts[0] == 0
    expected = 4000 * torch.tensor([1.0, 4.0, 9.0, 1.0]) / 15
    assert stats.chisquare(counts[1:].numpy(), expected.numpy()).pvalue > 0.001


def test_kmeanspp_starts_uniformly() -> None:
    pool = torch.tensor([[0.0], [5.0], [1.0], [0.5]], dtype=torch.float64)
    g = generator(2)
    p = SelectionProblem(DenseFeatures(pool[:1]), DenseFeatures(pool), "P", 1.0, g)
    counts = torch.bincount(torch.cat([KMeansPP().select(p, 1) for _ in range(2000)]), minlength=4)
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_methods_without_modes_have_no_mode_in_their_name() -> None:
    assert [Method(Random()).name, MaxDiag().name] == ["random", "maxdiag"]


@pytest.fixture(scope="module")
def large() -> tuple[Tensor, Tensor]:
    """6,000 pool points with 130 features of falling variance and a mean, in float32; 50 training points like them."""
    scales = torch.logspace(0, -1.5, 130)
    points = torch.randn(6050, 130, generator=generator(7)) * scales + 0.5
    return points[:6000], points[6000:]


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("selection", [MaxDist(), LCMD(), KMeansPP(), FrankWolfe(), *BAIT], ids=str)
def test_bounds_change_nothing(
    selection: Selection,
    dtype: torch.dtype,
    mode: Mode,
    large: tuple[Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Large pools are searched by bounds and shadows; reading everything gives the same batch."""
    if mode not in selection.modes:
        pytest.skip("no such mode")
    pool, train = (t.to(dtype) for t in large)
    by_bounds = selection.select(problem(pool, train, mode), 60)
    assert PrincipalBound.of(DenseFeatures(pool)) is not None
    monkeypatch.setattr(PrincipalBound, "of", lambda pool: None)
    monkeypatch.setattr(shadow, "N_FEWEST", 10**9)
    assert selection.select(problem(pool, train, mode), 60).tolist() == by_bounds.tolist()


def test_principal_bound_is_a_bound_and_worth_it(large: tuple[Tensor, Tensor]) -> None:
    pool = large[0]
    bound, features = PrincipalBound.of(DenseFeatures(pool)), DenseFeatures(pool)
    assert bound is not None
    d2 = features.squared_distances(features[17])[:, 0]
    for factor in (0.2, 1.0, 1.5):
        threshold = d2.median().expand_as(d2) * factor
        found = set(bound.closer_than(torch.tensor([17]), threshold).tolist())
        assert set((d2 < threshold).nonzero()[:, 0].tolist()) <= found
    assert len(bound.closer_than(torch.tensor([17]), 0.2 * d2.median().expand_as(d2))) < 600


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("n_features", [12, 30])
def test_lazy_maxdet_equals_naive_version_on_many_points(n_features: int, mode: Mode) -> None:
    """More points than are brought up to date at a time; features that are fewer and more than the batch."""
    pool, train = normal(300, n_features), normal(10, n_features, seed=1)
    X = torch.cat([pool, train])
    selected = list(range(300, 310)) if mode == "TP" else []
    expected = naive.maxdet(X @ X.T, 300, selected, 25, SIGMA)
    assert MaxDet().select(problem(pool, train, mode), 25).tolist() == expected


def test_very_many_features_have_no_principal_axes() -> None:
    """They would take longer than they spare."""
    assert PrincipalBound.of(DenseFeatures(torch.ones(5000, 1024))) is not None
    assert PrincipalBound.of(DenseFeatures(torch.ones(5000, 1025))) is None


def test_lcmd_goes_on_while_points_have_a_distance() -> None:
    """Large clusters are emptied to the last digit; beside what rounding leaves of them the others are tiny."""
    large = torch.arange(1.0, 5.0, dtype=torch.float64).repeat(5000) * 1.1
    close = torch.arange(1.0, 10.0, dtype=torch.float64) * 1e-8
    pool = torch.cat([large, close])[:, None]
    assert len(LCMD().select(problem(pool, pool[:0], "P"), 13)) == 13


@pytest.mark.parametrize("selection", [MaxDist(), LCMD(), KMeansPP()], ids=str)
def test_many_training_points_in_parts(
    selection: Selection, data: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = selection.select(problem(*data, "TP"), 12).tolist()
    monkeypatch.setattr(distances, "MOST_AT_ONCE", 4)
    assert selection.select(problem(*data, "TP"), 12).tolist() == whole


def test_features_that_vanish_beside_others(large: tuple[Tensor, Tensor]) -> None:
    """Dead units: columns of zeros and of denormal numbers, as a trained network has them."""
    pool, train = (t.clone() for t in large)
    for t in (pool, train):
        t[:, 40:120] = 0
        t[:, 30:40] *= 1e-40
    batch = LCMD().select(problem(pool, train, "TP"), 40)
    assert len(set(batch.tolist())) == 40


@pytest.mark.parametrize("mode", ["P", "TP"])
def test_target_points(mode: Mode) -> None:
    """EPIG and variance-based transductive learning, against brute force."""
    train, pool, target = normal(N_TRAIN, P), normal(N_POOL, P, seed=1), 0.3 * normal(7, P, seed=2) + 1
    Phi = torch.cat([pool, train, target])
    K, n = Phi @ Phi.T, N_POOL + N_TRAIN
    selected = list(range(N_POOL, n)) if mode == "TP" else []
    dense = [DenseFeatures(x) for x in (train, pool, target)]
    problem = SelectionProblem(dense[0], dense[1], mode, SIGMA, generator(), dense[2])
    rows = list(range(n, n + 7))
    assert EPIG().select(problem, 9).tolist() == naive.epig(K, N_POOL, rows, selected, 9, SIGMA)
    assert BaitForward().select(problem, 9).tolist() == naive.variance_of_targets(K, N_POOL, rows, selected, 9, SIGMA)
    product = [ProductFeatures((f, DenseFeatures(torch.ones(len(f), 1).double()))) for f in dense]
    without_matrix = SelectionProblem(product[0], product[1], mode, SIGMA, generator(), product[2])
    assert EPIG().select(without_matrix, 9).tolist() == naive.epig(K, N_POOL, rows, selected, 9, SIGMA)


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("selection", BAIT)
def test_training_and_pool_points_as_targets_are_the_usual_bait(selection: Selection, mode: Mode) -> None:
    train, pool = DenseFeatures(normal(N_TRAIN, P)), DenseFeatures(normal(N_POOL, P, seed=1))
    both = DenseFeatures(torch.cat([train.Phi, pool.Phi]))
    usual = SelectionProblem(train, pool, mode, SIGMA, generator())
    with_target = SelectionProblem(train, pool, mode, SIGMA, generator(), both)
    assert selection.select(usual, 9).tolist() == selection.select(with_target, 9).tolist()


def test_a_sample_of_the_pool_stands_for_missing_targets() -> None:
    train, pool = DenseFeatures(normal(N_TRAIN, P)), DenseFeatures(normal(N_POOL, P, seed=1))
    without = SelectionProblem(train, pool, "P", SIGMA, generator())
    all_of_it = SelectionProblem(train, pool, "P", SIGMA, generator(), pool)
    assert EPIG().select(without, 9).tolist() == EPIG().select(all_of_it, 9).tolist()


class Stored(Features):
    """Features of somebody else's, which return parts of a kernel matrix K that they hold, not copies."""

    def __init__(self, K: Tensor, rows: Tensor) -> None:
        self.K, self.rows = K, rows

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.rows,)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Stored:
        return Stored(self.K, tensors[0])

    def kernel(self, other: Stored) -> Tensor:
        whole = torch.arange(len(self.K))
        rows, columns = (slice(None) if torch.equal(r, whole) else r for r in (self.rows, other.rows))
        if len(other.rows) == 1:
            columns = slice(int(other.rows), int(other.rows) + 1)
        return self.K[rows, columns] if isinstance(columns, slice) else self.K[rows][:, columns]

    def diag(self) -> Tensor:
        return self.K.diagonal()[: len(self)] if len(self) == len(self.K) else self.K.diagonal()[self.rows]

    def scaled(self, factor: float) -> Stored:
        return Stored(factor * self.K, self.rows)

    @property
    def dtype(self) -> torch.dtype:
        return self.K.dtype


@pytest.mark.parametrize("combine", [lambda f: f, lambda f: SumFeatures((f, f)), lambda f: ProductFeatures((f, f))])
@pytest.mark.parametrize("selection", [MaxDist(), LCMD(), MaxDet(), MaxDiag()])
def test_what_features_return_is_not_written_to(selection: Selection, combine: Callable[[Features], Features]) -> None:
    """Neither is what third-party features hold: the same batch as with matrices."""
    Phi = normal(N_POOL, P)
    K = Phi @ Phi.T
    before = K.clone()
    mode = selection.modes[-1] if selection.modes else None
    chosen = []
    for features in (DenseFeatures(Phi), Stored(K, torch.arange(N_POOL))):
        problem = SelectionProblem(combine(features[:N_TRAIN]), combine(features), mode, SIGMA, generator())
        chosen.append(selection.select(problem, 9).tolist())
    assert chosen[0] == chosen[1]
    assert torch.equal(K, before)


@pytest.mark.parametrize("mode", ["P", "TP"])
def test_maxdet_with_many_ties(mode: Mode) -> None:
    """More points of the same variance than are brought up to date at once."""
    same = torch.eye(100, dtype=torch.float64)
    assert MaxDet().select(problem(same, 3 * same[:1], mode), 5).tolist() == [i + (mode == "TP") for i in range(5)]
    signs = torch.sign(normal(400, 12))
    assert len(set(MaxDet().select(problem(signs, signs[:3], mode), 40).tolist())) == 40
    blocks = torch.eye(10, dtype=torch.float64).repeat_interleave(30, dim=0)
    expected = list(range(10)) if mode == "P" else [*range(1, 10), 0]
    assert [i // 30 for i in MaxDet().select(problem(blocks, 0.1 * blocks[:1], mode), 10).tolist()] == expected


@pytest.mark.parametrize("p", [3, 6])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_bait_when_the_points_span_all_features(p: int, offset: float) -> None:
    """The scores fall by many orders of magnitude, and rounding errors of the first ones must not decide."""
    pool, sigma = normal(60, p, seed=p) * torch.logspace(0, 2, p, dtype=torch.float64) + offset, 1e-3
    batch = BaitForward().select(SelectionProblem(*_features(pool[:0], pool), "P", sigma, generator()), 25).tolist()
    chosen: list[int] = []
    for index in batch:
        scores = _bait_scores(pool, chosen, sigma)
        assert scores[index] >= 0.999 * scores.max(), (len(chosen), index)
        chosen.append(index)


def _features(*matrices: torch.Tensor) -> list[DenseFeatures]:
    return [DenseFeatures(m) for m in matrices]


def _bait_scores(pool: torch.Tensor, chosen: list[int], sigma: float) -> torch.Tensor:
    """By definition, with 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        Phi = mpmath.matrix(pool.tolist())
        S = mpmath.matrix([pool[i].tolist() for i in chosen]) if chosen else None
        p = pool.shape[1]
        G = (S.T * S if S is not None else mpmath.zeros(p)) + mpmath.mpf(sigma) ** 2 * mpmath.eye(p)
        K = mpmath.mpf(sigma) ** 2 * Phi * (G**-1) * Phi.T
        n = len(pool)
        scores = [
            float(mpmath.fsum(K[i, j] ** 2 for j in range(n)) / (K[i, i] + mpmath.mpf(sigma) ** 2)) for i in range(n)
        ]
    return torch.tensor([0.0 if i in chosen else s for i, s in enumerate(scores)], dtype=torch.float64)


def test_epig_with_an_outlier() -> None:
    """A point whose information cannot be computed says nothing of the others."""
    for seed in range(20):
        pool = normal(200, 8, seed=seed)
        pool[7] *= 1e6
        assert len(EPIG().select(SelectionProblem(*_features(pool[:0], pool), "P", 1e-3, generator()), 10)) == 10


def test_epig_in_feature_and_in_kernel_space() -> None:
    """A batch of more points than features is chosen by another formula."""
    pool, train = normal(50, 6), normal(4, 6, seed=1)
    dense = SelectionProblem(*_features(train, pool), "TP", 0.3, generator())
    both = [
        ProductFeatures((f, DenseFeatures(torch.ones(len(f), 1, dtype=torch.float64)))) for f in _features(train, pool)
    ]
    by_kernel = SelectionProblem(both[0], both[1], "TP", 0.3, generator())
    assert EPIG().select(dense, 20).tolist() == EPIG().select(by_kernel, 20).tolist()


def test_power_frequencies() -> None:
    """Points are drawn with probability k(x, x) / sum, without replacement; those with k(x, x) = 0 never."""
    weights = torch.tensor([1.0, 4.0, 0.0, 9.0], dtype=torch.float64)
    p = problem(weights.sqrt()[:, None], weights[:0, None], None)
    batches = torch.stack([Power().select(p, 3) for _ in range(4000)])
    counts = torch.bincount(batches[:, 0], minlength=4)[[0, 1, 3]]
    assert stats.chisquare(counts.numpy(), 4000 * np.array([1, 4, 9]) / 14).pvalue > 0.001
    second = torch.bincount(batches[batches[:, 0] == 3, 1], minlength=4)[[0, 1]]
    assert stats.chisquare(second.numpy(), int(second.sum()) * np.array([1, 4]) / 5).pvalue > 0.001
    assert len(Power().select(p, 4)) == 3


@pytest.mark.parametrize("n_features", [1, 9])
def test_rpcholesky_frequencies(n_features: int) -> None:
    """The second point, after a known first, follows the posterior variance given the first."""
    pool = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64).expand(4, n_features) / n_features**0.5
    g, p = generator(3), problem(pool, pool[:0], "P", sigma=1.0)
    batches = torch.stack([RPCholesky().select(dataclasses.replace(p, generator=g), 2) for _ in range(4000)])
    assert stats.chisquare(torch.bincount(batches[:, 0])[1:].numpy(), 4000 * np.array([1, 4, 9]) / 14).pvalue > 0.001
    second = torch.bincount(batches[batches[:, 0] == 3, 1], minlength=3)[1:3]
    assert stats.chisquare(second.numpy(), int(second.sum()) * np.array([1, 4]) / 5).pvalue > 0.001
    assert not bool((batches == 0).any())


@pytest.mark.parametrize("mode", ["P", "TP"])
@pytest.mark.parametrize("selection", HERDING, ids=str)
def test_herding_covers_a_sample(selection: Selection, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is drawn from the generator, and grows with the batch."""
    monkeypatch.setattr(herding, "N_SAMPLE", 50)
    pool, train = normal(300, P, seed=4), normal(N_TRAIN, P, seed=5)
    X, selected = torch.cat([pool, train]), list(range(300, 306)) if mode == "TP" else []
    for batch_size, n_sample in ((9, 50), (20, 80)):
        sample = torch.randperm(300, generator=generator())[:n_sample].tolist()
        weights = None if selection == MaxHerding() else (X @ X.T).diagonal()[sample]
        expected = naive.maxherding(X @ X.T, 300, sample, selected, batch_size, weights)
        assert selection.select(problem(pool, train, mode), batch_size).tolist() == expected


def test_the_width_of_the_kernel_comes_from_a_thousand_points() -> None:
    """Of more, all pairs would not fit into memory."""
    X = normal(2000, 3, seed=5)
    d2 = torch.cdist(*[torch.nn.functional.normalize(X[: herding.N_SAMPLE])] * 2).square()
    coverage = herding._Coverage(DenseFeatures(X), torch.ones(2000), None)
    assert coverage.h2 == pytest.approx(float(d2[d2 > 1e-12].median()))


def test_herding_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks change nothing, and nor do kernels without a matrix."""
    pool, train = normal(300, P, seed=4), normal(60, P, seed=5)
    whole = MaxHerding().select(problem(pool, train, "TP"), 20).tolist()
    monkeypatch.setitem(BLOCK_BYTES, "cpu", 2 * 8 * 300 * 7)
    assert MaxHerding().select(problem(pool, train, "TP"), 20).tolist() == whole
    both = [ProductFeatures((DenseFeatures(x), DenseFeatures(torch.ones(len(x), 1).double()))) for x in (train, pool)]
    assert MaxHerding().select(SelectionProblem(*both, "TP", SIGMA, generator()), 20).tolist() == whole


def test_herding_only_looks_at_directions() -> None:
    """Lengths change nothing; features that are zero are a direction of their own."""
    pool = normal(60, P).float()
    lengths = torch.linspace(0.5, 3, 60)[:, None]
    batch = MaxHerding().select(problem(pool, pool[:0], "P"), 20).tolist()
    assert MaxHerding().select(problem(lengths * pool, pool[:0], "P"), 20).tolist() == batch
    pool[::2] = 0
    batch = MaxHerding().select(problem(pool, pool[:0], "P"), 31).tolist()
    assert sorted(batch) == [0, *range(1, 60, 2)]


def test_herding_with_a_narrow_cone_of_features() -> None:
    """Distances far below 1, in float32; copies are still none to gain."""
    pool = (torch.ones(1, P) + 0.05 * normal(30, P).float()).repeat(3, 1)
    batch = MaxHerding().select(problem(pool, pool[:0], "P"), 60).tolist()
    assert len(batch) == 30
    assert len({i % 30 for i in batch}) == 30


def test_igs_without_outcomes() -> None:
    with pytest.raises(IncompatibleError, match="'igs' needs the labels of the training points and predictions"):
        IGS().select(dataclasses.replace(problem(normal(9, 2), normal(3, 2), "TP"), outcomes=None), 3)

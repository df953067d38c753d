"""Which points may be in a batch: exclusion, copies, groups, costs; and the scores of those that are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from torch import nn
from toys import normal, ntk_network

import bmdal.selection
from bmdal import Batch, BmdalError, IncompatibleError, KernelMatrix, Method, select, select_batch
from bmdal.kernels import Linear
from bmdal.selection import Selection, SelectionProblem

POOL, TRAIN = normal(80, 5), normal(12, 5, seed=1)
NAMES = [
    "random",
    "maxdiag",
    "maxdet-p",
    "maxdet-tp",
    "bait-f-p",
    "bait-f-tp",
    "bait-fb-p",
    "fw-p",
    "maxdist-tp",
    "maxdist-p",
    "kmeanspp-tp",
    "kmeanspp-p",
    "lcmd-tp",
    "lcmd-p",
    "epig-p",
    "epig-tp",
    "maxherding-p",
    "maxherding-tp",
    "uherding-p_train",
    "uherding-tp",
    "power_train",
    "rpcholesky-p",
    "rpcholesky-tp",
    "igs-tp",
]
WITH_COSTS = ["maxdiag", "maxdet-p", "maxdet-tp", "bait-f-p", "bait-f-tp", "epig-p"]


def pick(name: str, pool: Any = POOL, batch_size: int = 9, train: Any = TRAIN, **rules: Any) -> Batch:
    if name.startswith("igs"):  # which needs a model
        y = SumOfSines()(torch.tensor(np.asarray(train))) + torch.linspace(0, 0.5, len(train))
        return select_batch(f"{name}_linear", SumOfSines(), train, y, pool, batch_size, 3, **rules)
    return select(name, pool, batch_size, 3, train=train, **rules)


class SumOfSines(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (3 * x).sin().sum(dim=1)


def test_every_selection_is_tested() -> None:
    known = [c for c in vars(bmdal.selection).values() if isinstance(c, type) and issubclass(c, Selection)]
    tokens = {c.tokens[0] for c in known if c is not Selection}
    assert {Method.from_name(name, kernel=Linear()).selection.name for name in NAMES} == tokens


@pytest.mark.parametrize("name", NAMES)
def test_excluded_points_are_as_if_not_in_the_pool(name: str) -> None:
    excluded = pick(name).indices[:5].tolist()
    kept = np.setdiff1d(np.arange(80), excluded)
    expected = kept[pick(name, POOL[kept]).indices]
    mask = np.isin(np.arange(80), excluded)
    for exclude in (excluded, np.array(excluded), torch.tensor(excluded), mask, mask.tolist()):
        assert pick(name, exclude=exclude).indices.tolist() == expected.tolist()
    table = pd.DataFrame(POOL.numpy(), index=[f"p{i}" for i in range(80)])
    train = pd.DataFrame(TRAIN.numpy())
    by_ids = pick(name, table, train=train, exclude=[f"p{i}" for i in excluded])
    assert by_ids.ids.tolist() == [f"p{i}" for i in expected]
    assert pick(name, table, train=train, exclude=pd.Series(mask, table.index)).ids.tolist() == by_ids.ids.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_copies_come_last(name: str) -> None:
    """Copies of labelled points and of others in the pool, of which the first may be chosen."""
    pool = torch.cat([TRAIN, POOL[:10], POOL[:10], POOL[:10]])
    batch = pick(name, pool, batch_size=9)
    assert set(batch.indices.tolist()) <= set(range(12, 22))
    assert batch.notes[0] == "32 of the pool's 42 points are copies of labelled or earlier points and come last"
    more = pick(name, pool, batch_size=20)
    assert set(more.indices.tolist()[:10]) == set(range(12, 22))
    assert len(set(more.indices.tolist())) == 20
    assert more.n_filled >= 10
    assert pick(name, POOL).notes == ()
    without_first = pick(name, pool, batch_size=9, exclude=range(12, 22))
    assert set(without_first.indices.tolist()) <= set(range(22, 32))


def test_the_paper_has_copies_like_others() -> None:
    pool = torch.cat([POOL, 10 * POOL[:2], 10 * POOL[:2]])
    assert sorted(pick("maxdiag", pool, batch_size=4, distinct=False).indices.tolist()) == [80, 81, 82, 83]
    assert pick("maxdiag", pool, batch_size=4).indices.tolist() != [80, 81, 82, 83]
    assert pick("maxdiag", pool, batch_size=4, distinct=False).notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_at_most_n_of_a_group(name: str) -> None:
    groups = [f"plate {i % 4}" for i in range(80)]
    for per_group, batch_size in ((1, 4), (2, 8), (3, 9)):
        batch = pick(name, batch_size=batch_size, groups=groups, per_group=per_group)
        counts = pd.Series(groups).iloc[batch.indices.numpy()].value_counts()
        assert counts.sum() == batch_size
        assert counts.max() <= per_group
    alone = pick(name, groups=range(80))
    assert alone.indices.tolist() == pick(name).indices.tolist(), "groups of one point change nothing"


@given(seed=st.integers(0, 10**6), n_groups=st.integers(1, 5), per_group=st.integers(1, 4), name=st.sampled_from(NAMES))
def test_all_rules_together(seed: int, n_groups: int, per_group: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 3, (30, 2)).astype(float)
    groups, excluded = rng.integers(0, n_groups, 30), rng.random(30) < 0.3
    rules = {"groups": groups, "per_group": per_group, "exclude": excluded}
    most = sum(min(per_group, int((groups[~excluded] == g).sum())) for g in range(n_groups))
    if most == 0:
        return
    batch = pick(name, pool, most, pool[:2], **rules).indices.numpy()
    assert len(set(batch.tolist())) == most
    assert not excluded[batch].any()
    assert np.bincount(groups[batch]).max() <= per_group
    with pytest.raises(BmdalError, match=r"the groups allow a batch of at most|exclude leaves"):
        pick(name, pool, most + 1, pool[:2], **rules)


@pytest.mark.parametrize("name", WITH_COSTS)
def test_gain_per_cost(name: str) -> None:
    """The first point has the largest score per cost; the same cost for all, and other units of it, change nothing."""
    single = {i: float(pick(name, POOL, 1, exclude=[j for j in range(80) if j != i]).scores[0]) for i in range(80)}  # type: ignore[index]
    if name.startswith(("bait", "epig")):  # whose targets are the pool
        single = {
            i: float(select(name, POOL[[i]], 1, 3, train=TRAIN, target=POOL).scores[0])  # type: ignore[index]
            for i in range(80)
        }
    rng = np.random.default_rng(0)
    costs = rng.lognormal(size=80)
    target = POOL if name.startswith(("bait", "epig")) else None
    gain = {i: np.log1p(s / 1e-6) / 2 if name.startswith("maxdet") else s for i, s in single.items()}
    chosen = select(name, POOL, 9, 3, train=TRAIN, target=target, costs=costs)
    assert int(chosen.indices[0]) == max(range(80), key=lambda i: gain[i] / costs[i])
    assert chosen.scores is not None
    assert float(chosen.scores[0]) == pytest.approx(max(gain[i] / costs[i] for i in range(80)))
    other_units = select(name, POOL, 9, 3, train=TRAIN, target=target, costs=1024 * costs)
    assert other_units.indices.tolist() == chosen.indices.tolist()
    if not name.startswith("maxdet"):  # a logarithm rounds
        assert pick(name, costs=[2.0] * 80).indices.tolist() == pick(name).indices.tolist()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"random", "bait-fb-p"}))
def test_scores(name: str) -> None:
    batch = pick(name)
    assert batch.scores is not None
    assert batch.scores.shape == (9,)
    assert bool((batch.scores[1:] > 0).all())
    if name in ("maxdiag", "maxdet-p", "maxdet-tp", "maxdist-tp", "bait-f-p"):
        assert batch.scores.tolist() == sorted(batch.scores.tolist(), reverse=True)
    if name == "maxdiag":
        torch.testing.assert_close(batch.scores, POOL.square().sum(dim=1)[batch.indices])
    if name == "maxdist-tp":
        d2 = torch.cdist(POOL, TRAIN).square().min(dim=1).values
        torch.testing.assert_close(batch.scores[0], d2.max())
    assert pick("random").scores is None


def test_scores_of_random_points() -> None:
    batch = select("lcmd-p", torch.eye(4).repeat(5, 1), 8, 0, distinct=False)
    assert batch.scores is not None
    assert batch.scores.isnan().tolist() == [False] * 4 + [True] * 4


def test_models_heed_rules_too() -> None:
    net, groups = ntk_network().float(), np.arange(80) % 3
    x, pool = TRAIN[:, :4].float(), torch.cat([POOL[:, :4], TRAIN[:, :4]]).float()[12:]
    rules: dict[str, Any] = {"exclude": [0, 1, 2], "groups": groups, "per_group": 3}
    model = RandomForestRegressor(10, random_state=0).fit(x.numpy(), x[:, 0].numpy())
    for name, models, x_train, x_pool in (
        ("lcmd-tp_grad_rp-64", net, x, pool),
        ("random", net, x, pool),
        ("bait-f-p_pred", model, x.numpy(), pool.numpy()),
    ):
        batch = select_batch(name, models, x_train, None, x_pool, 9, 0, **rules)
        assert not set(batch.indices.tolist()) & {0, 1, 2, *range(68, 80)}
        assert np.bincount(groups[batch.indices]).max() == 3
        assert "12 of the pool's 77 points are copies" in batch.notes[0]
    with_words = pd.DataFrame({"a": [1.0, 2.0, 1.0, 3.0], "b": ["x", "y", "x", "z"]})
    members: Any = [lambda X: X["a"].to_numpy() ** 2, lambda X: 3 * X["a"].to_numpy()]
    batch = select_batch("maxdiag_pred", members, None, None, with_words, 3, 0)
    assert set(batch.indices.tolist()) == {0, 1, 3}


class Own(Selection):
    tokens = ("own",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> torch.Tensor:
        return torch.arange(batch_size)


def test_a_selection_that_heeds_no_limits() -> None:
    pool = POOL[[0, 0, 1, 2]]
    batch = select(Own(), pool, 3, 0)
    assert batch.indices.tolist() == [0, 1, 2]
    assert batch.notes == (
        "1 of the pool's 4 points are copies of labelled or earlier points and count like others, "
        "because 'own' does not support distinct=True",
    )
    assert select(Own(), pool, 2, 0, exclude=[0]).indices.tolist() == [1, 2]
    with pytest.raises(IncompatibleError, match="'own' does not support groups"):
        select(Own(), pool, 2, 0, groups=[1, 2, 3, 4])


def test_messages() -> None:
    frame = pd.DataFrame(POOL.numpy(), index=[f"p{i}" for i in range(80)])
    shuffled = pd.Series(1.0, frame.index[::-1])
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("exclude leaves 1 points of the pool, fewer than batch_size=9", POOL, {"exclude": range(79)}),
        (r"exclude is a mask with 3 values, but the pool has 80 points", POOL, {"exclude": [True, False, True]}),
        ("exclude holds 80, which is not a row number of the pool, 0 to 79", POOL, {"exclude": [3, 80]}),
        ("exclude holds -1, which is not a row", POOL, {"exclude": [-1]}),
        ("exclude holds 'q', which is not a label in the index of the pool", frame, {"exclude": ["q"]}),
        ("exclude holds 3, which is not a label in the index", frame, {"exclude": [3]}),
        ("groups must name the group of each of the 80 pool points, it has 3 values", POOL, {"groups": [1, 2, 3]}),
        ("groups has no value for row 1", POOL, {"groups": [1, None] * 40}),
        ("groups has no value for row 0", POOL, {"groups": np.full(80, np.nan)}),
        (
            "per_group=2 the groups allow a batch of at most 8, not 9",
            POOL,
            {"groups": [1, 2, 3, 4] * 20, "per_group": 2},
        ),
        ("per_group must be an integer of at least 1, got 0", POOL, {"groups": range(80), "per_group": 0}),
        (r"costs must have shape \(80,\)", POOL, {"costs": [1.0, 2.0]}),
        ("costs must be finite numbers greater than 0, row 1 has 0.0", POOL, {"costs": [1.0, 0.0] * 40}),
        ("costs must be finite numbers greater than 0, row 0 has nan", POOL, {"costs": [torch.nan] * 80}),
        ("costs has another index than the pool", frame, {"costs": shuffled}),
        ("groups has another index than the pool", frame, {"groups": shuffled}),
        ("exclude has a 0 or 1 for each pool point: if it is a mask", POOL, {"exclude": np.arange(80) % 2}),
        ("exclude must be an array, a Series or a list, it is a int", POOL, {"exclude": 3}),
        ("exclude must be an array, a Series or a list, it is a DataFrame", frame, {"exclude": frame[:3]}),
        (r"exclude must be one list of values, it holds \[1, 2\]", POOL, {"exclude": [[1, 2], [3]]}),
        ("exclude holds 3.5, which is not a row", POOL, {"exclude": [3.5]}),
        ("groups must be an array, a Series or a list, it is a dict", POOL, {"groups": dict.fromkeys(range(80), 0)}),
        ("groups must be an array, a Series or a list, it is a str", POOL, {"groups": "city"}),
        ("a set has no order", POOL, {"groups": set(range(80))}),
        ("groups has no value for row 0", POOL, {"groups": [pd.NA] * 80}),
        (r"groups must be one list of values, it holds \[0\]", POOL, {"groups": [[0]] * 80}),
    ]
    for message, pool, rules in cases:
        with pytest.raises(BmdalError, match=message):
            pick("maxdet-p", pool, train=None, **rules)
    for name in sorted(set(NAMES) - set(WITH_COSTS) - {"epig-tp"}):
        with pytest.raises(
            IncompatibleError, match="is not a gain that can be divided by a cost; costs work with 'bait-f'"
        ):
            pick(name, costs=[1.0] * 80)


def test_copies_in_other_types_and_with_gaps() -> None:
    X = POOL.numpy().round(1)
    for train, pool in (
        (X[:5].astype(np.float16).astype(np.float32), X[:20].astype(np.float16)),
        (np.arange(5.0)[:, None], np.arange(20)[:, None]),
        (np.arange(5, dtype=np.int32)[:, None], np.arange(20)[:, None]),
        (np.zeros((1, 2)), np.array([[-0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])),
    ):
        batch = pick("maxdiag", pool, 2, train)
        assert batch.notes[0].startswith(f"{len(train)} of the pool's {len(pool)} points are copies"), train.dtype
    table = pd.DataFrame(
        {"t": [-1, -2, 0, 5, 5], "city": ["Oslo", "Oslo", "Oslo", None, None], "w": [1, 1, 1, np.nan, np.nan]}
    )
    members: Any = [lambda X: X["t"].to_numpy(float) ** 2, lambda X: 3.0 * X["t"].to_numpy(float)]
    batch = select_batch("maxdiag_pred", members, None, None, table, 4, 0)
    assert batch.notes[0] == "1 of the pool's 5 points are copies of labelled or earlier points and come last"
    assert set(batch.indices.tolist()) == {0, 1, 2, 3}
    numbers: Any = [lambda X: X[:, 0] ** 2, lambda X: 3.0 * X[:, 0]]
    batch = select_batch("maxdiag_pred", numbers, None, None, np.array([[-1.0], [-2.0], [5.0], [5.0]]), 3, 0)
    assert batch.notes[0] == "1 of the pool's 4 points are copies of labelled or earlier points and come last"
    assert pick("maxdiag", POOL, 2, POOL).notes[0].endswith("and count like others")
    assert pick("maxdist-p", POOL, 2, POOL[:0]).notes == ()


def test_excluded_points_set_no_unit() -> None:
    P = np.random.default_rng(0).normal(size=(20, 6))
    P[:3] *= 100
    expected = select("bait-f-p_pred", P[3:], 6, 0).indices + 3
    assert select("bait-f-p_pred", P, 6, 0, exclude=[0, 1, 2]).indices.tolist() == expected.tolist()


def test_what_is_random_is_said() -> None:
    same = torch.ones(9, 3)
    batch = select("maxdet-p", torch.cat([same, 2 * same]), 8, 0, distinct=False, sigma=1e-9)
    assert batch.n_filled > 0
    assert (
        f"{batch.n_filled} points of the batch are random, because 'maxdet' had nothing left to gain" in batch.notes[0]
    )
    large = select("maxdet-p", 1e6 * POOL, 5, 0)
    assert "next to it: scale the features to about 1, or increase sigma" in large.notes[0]


def test_ids_of_all_kinds() -> None:
    X = POOL.numpy()
    multi = pd.MultiIndex.from_tuples([(f"c{i // 10}", i) for i in range(80)])
    for index in (
        multi,
        pd.date_range("2020-01-01", periods=80),
        pd.RangeIndex(100, 180),
        pd.Index([f"p{i}" for i in range(80)]),
    ):
        frame = pd.DataFrame(X, index)
        ids = pick("maxdiag", frame, 5, None).ids
        for exclude in (
            (ids, ids.tolist(), set(ids.tolist()), iter(ids.tolist()), dict.fromkeys(ids.tolist()))
            if index is not multi
            else (ids, ids.tolist())
        ):
            if isinstance(exclude, dict):
                exclude = exclude.keys()
            again = pick("maxdiag", frame, 5, None, exclude=exclude).ids
            assert not set(ids.tolist()) & set(again.tolist())
    mask = pd.Series([True, True], index=[2, 5]).reindex(range(80)).astype(object).fillna(False)
    assert not {2, 5} & set(pick("maxdiag", pd.DataFrame(X), 78, None, exclude=mask).indices.tolist())
    assert pick("maxdiag", POOL, 5, None, groups=[torch.tensor(i % 2) for i in range(80)], per_group=3).n_filled == 0


def test_copies_without_a_table() -> None:
    K = KernelMatrix((POOL @ POOL.T).numpy())
    assert pick("maxdet-p", K, train=None).notes == (
        "copies of points were not searched for, because the points are not a table in memory",
    )
    assert pick("maxdet-p", K, train=None, distinct=False).notes == ()

"""What choosing a batch gains, from labelled points alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bmdal import BmdalError
from bmdal.estimators import in_units_of_networks
from bmdal.regressor import NetworkRegressor, simulate_gain
from bmdal.regressor.gain import _worth

FOREST = RandomForestRegressor(30)


def rare_and_steep(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of which one in eight lies where the target changes quickly, and the others where it hardly changes."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(n) < 1 / 8, rng.uniform(0, 1, n), rng.uniform(1, 20, n))
    return np.stack([x, rng.normal(size=n)], axis=1), np.where(x < 1, np.sin(12 * x) * 5, 0.01 * x)


def test_a_gain_is_seen_where_there_is_one() -> None:
    X, y = rare_and_steep(400)
    gain = simulate_gain("bait-f-p_pred", FOREST, X, y, 30, n_repeats=8)
    mean, low, high = gain.interval
    assert high < 0
    assert gain.worth > 30
    expected = stats.t.interval(0.95, 7, loc=gain.differences.mean(), scale=stats.sem(gain.differences))
    assert (mean, low, high) == pytest.approx((gain.differences.mean(), *expected))
    assert (gain.n_start, gain.batch_size, len(gain.differences)) == (140, 30, 8)
    assert str(gain).startswith("bait-f-p_pred: from 140 labels, a batch of 30 changes the error by -")
    assert "it is worth " in str(gain)


def test_random_selection_gains_nothing() -> None:
    X, y = rare_and_steep(400)
    gain = simulate_gain("random", FOREST, X, y, 30, n_repeats=8)
    assert gain.interval[1] < 0 < gain.interval[2]
    assert str(gain).endswith("a gain cannot be told from chance.")


def test_it_depends_on_the_seed_only() -> None:
    X, y = rare_and_steep(100)
    frame = pd.DataFrame(X, columns=["a", "b"])
    first, again, other = (
        simulate_gain("kmeanspp-p_pred", FOREST, points, y, 10, n_repeats=2, seed=seed)
        for points, seed in ((X, 1), (X, 1), (X, 2))
    )
    assert np.array_equal(first.differences, again.differences)
    assert not np.array_equal(first.differences, other.differences)
    of_frame = simulate_gain("kmeanspp-p_pred", FOREST, frame, y, 10, n_repeats=2, seed=1)
    assert np.array_equal(of_frame.differences, first.differences)


@pytest.mark.parametrize("method", ["igs-tp_grad_rp-16", "fw-p_ll_acs-rf-hyper-16"])
def test_it_does_not_depend_on_units(method: str) -> None:
    """Networks predict standardized targets, which selections that look at labels must get."""
    X, y = rare_and_steep(120)
    network = NetworkRegressor(n_epochs=8)
    one, other = (simulate_gain(method, network, X, targets, 9, n_repeats=2) for targets in (y, 1000 * y + 5000))
    np.testing.assert_allclose(one.differences, other.differences, atol=1e-3)


def test_labels_that_are_transformed_before_they_are_learned() -> None:
    y = np.exp(np.linspace(0, 3, 40))
    X = np.stack([np.log(y), np.ones(40)], axis=1)
    plain, model = NetworkRegressor(n_epochs=2, random_state=0), NetworkRegressor(n_epochs=2, random_state=0)
    wrapped = TransformedTargetRegressor(make_pipeline(StandardScaler(), model), func=np.log, inverse_func=np.exp)
    plain.fit(X, np.log(y))
    wrapped.fit(X, y)
    expected = in_units_of_networks(plain, np.log(y))
    np.testing.assert_allclose(in_units_of_networks(wrapped, y), expected)
    assert np.std(expected) == pytest.approx(1, abs=0.3)
    assert in_units_of_networks(FOREST, y) is y


def test_several_targets() -> None:
    """Two equal targets in different units gain what one does, and their errors count alike."""
    X, y = rare_and_steep(100)
    both = simulate_gain("random", FOREST, X, np.stack([y, y], axis=1), 10, n_repeats=2)
    one = simulate_gain("random", FOREST, X, y, 10, n_repeats=2)
    np.testing.assert_allclose(both.differences, one.differences, rtol=1e-6)
    networks = simulate_gain(
        "lcmd-tp_grad_rp-64", NetworkRegressor(n_epochs=2), X, np.stack([y, X[:, 0]], axis=1), 5, n_repeats=2
    )
    assert np.isfinite(networks.differences).all()


def test_networks_and_small_pools() -> None:
    """A batch is at most a quarter of the pool: 60 points are 18 to test, 21 labelled and 21 in the pool."""
    X, y = rare_and_steep(60)
    gain = simulate_gain("lcmd-tp_grad_rp-64", NetworkRegressor(n_epochs=4), X, y, 50, n_repeats=2)
    assert (gain.n_start, gain.batch_size) == (21, 5)
    assert np.isfinite(gain.differences).all()


@pytest.mark.parametrize(
    ("with_batch", "worth"),
    [
        (-0.2, 10),
        (-0.3, 110**0.5 * 400**0.5 - 100),
        (-0.4, 300),
        (-0.41, np.inf),
        (0.0, 0),
        (0.5, 0),
        (-0.1, 110**0.5 * 10 - 100),
    ],
)
def test_what_a_batch_is_worth(with_batch: float, worth: float) -> None:
    """Errors of 0, -0.2 and -0.4 with 100, 110 and 400 random labels: half way between them, their geometric mean."""
    assert _worth(0.0, with_batch, -0.2, -0.4, np.array([100, 110, 400])) == pytest.approx(worth)


def test_a_random_batch_that_does_harm_counts_as_none() -> None:
    assert _worth(0.0, -0.2, 0.3, -0.4, np.array([100, 110, 400])) == pytest.approx(110**0.5 * 400**0.5 - 100)


@pytest.mark.parametrize(
    ("X", "y", "n_repeats", "message"),
    [
        (np.zeros((39, 1)), np.arange(39.0), 2, r"y must have shape \(n,\) or .* n at least 40, got \(39,\)"),
        (np.zeros((50, 1)), np.ones((50, 2, 2)), 2, r"y must have shape \(n,\) or .*, got \(50, 2, 2\)"),
        (np.zeros((50, 1)), np.c_[np.arange(50.0), np.ones(50)], 2, "y must be finite and not constant"),
        (np.zeros((50, 1)), np.ones(50), 2, "y must be finite and not constant"),
        (np.zeros((50, 1)), np.r_[np.nan, np.arange(49.0)], 2, "y must be finite and not constant"),
        (np.zeros((50, 1)), np.arange(50.0), 1, "n_repeats must be at least 2, got 1"),
    ],
)
def test_refused(X: np.ndarray, y: np.ndarray, n_repeats: int, message: str) -> None:
    with pytest.raises(BmdalError, match=message):
        simulate_gain("bait-f-p_pred", FOREST, X, y, 10, n_repeats=n_repeats)

"""Checks of the contracts of the three kinds of components, for use in your own tests.

    from bmdal.testing import check_selection
    check_selection(MySelection())

Each function raises an AssertionError that says what is wrong if a component violates its contract.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bmdal.errors import IncompatibleError
from bmdal.features import DenseFeatures, Features, ProductFeatures
from bmdal.kernels import BaseKernel
from bmdal.network.modes import plain_arithmetic
from bmdal.network.network import Network
from bmdal.selection import Mode, Outcomes, Selection, SelectionProblem
from bmdal.transformations import Transformation

_P = 5


def check_kernel(kernel: BaseKernel, model: nn.Module, X: Tensor) -> None:
    """Check a base kernel on a network and some inputs, shape (n, ...), n >= 4.

    The features of each point must not depend on other points. The kernel matrix must be symmetric and positive
    semidefinite, with the right diagonal. The features must have the traits that the kernel declares, and the network
    must not be changed.
    """
    state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    network = Network(model, X)
    with plain_arithmetic([model]):
        features, part = kernel.features(network, X), kernel.features(network, X[1:3])
    assert len(features) == len(X), f"{len(features)} features for {len(X)} inputs"
    K = features.kernel(features)
    assert K.shape == (len(X), len(X)), f"kernel matrix of shape {tuple(K.shape)} for {len(X)} points"
    torch.testing.assert_close(K, K.T, msg="the kernel matrix is not symmetric")
    torch.testing.assert_close(features.diag(), K.diagonal(), msg="diag() is not the diagonal of kernel()")
    smallest = float(torch.linalg.eigvalsh(K.double())[0])
    assert smallest >= -1e-4 * float(K.diagonal().max()), f"the kernel matrix has the negative eigenvalue {smallest}"
    torch.testing.assert_close(part.kernel(features), K[1:3], msg="features of a point depend on other points")
    if kernel.traits.explicit:
        Phi = features.matrix()
        torch.testing.assert_close(Phi @ Phi.T, K, msg="matrix() does not match the kernel")
    if kernel.traits.sketchable:
        projected = features.draw_sketch(7, _generator())(features)
        assert projected.shape == (len(X), 7), f"a sketch to 7 features has shape {tuple(projected.shape)}"
    _assert_name(kernel)
    assert [m.training for m in model.modules()] == modes, "the network's training mode was changed"
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), f"the network's {name} was changed"


def check_transformation(transformation: Transformation) -> None:
    """Check a transformation of explicit features.

    The transformed features of a point must depend on the training set and on no other point. They must be finite for
    a single training point, constant features, zero features and duplicates.
    """
    train, features = DenseFeatures(_normal(12)), DenseFeatures(_normal(9, seed=1))
    y = _normal(12, seed=2)[:, 0]
    fitted = transformation.fit(train, y, 0.2, _generator())
    whole, part = fitted(features), fitted(features[3:6])
    torch.testing.assert_close(part.kernel(whole), whole[3:6].kernel(whole), msg="a point depends on other points")
    ones, zeros = (DenseFeatures(torch.full((4, _P), value, dtype=torch.float64)) for value in (1.0, 0.0))
    duplicates = DenseFeatures(_normal(3).repeat(4, 1))
    for name, observed, others in (
        ("one training point and constant features", ones[:1], ones),
        ("zero features", zeros, zeros),
        ("duplicates", duplicates, duplicates),
    ):
        diag = transformation.fit(observed, y[: len(observed)], 0.2, _generator())(others).diag()
        assert bool(torch.isfinite(diag).all()), f"not finite for {name}"
    _assert_name(transformation)


def check_selection(selection: Selection) -> None:
    """Check a selection method in all its modes.

    Indices must be distinct, in range and reproducible, and there must be as many as requested, unless the features
    are degenerate. The features must not be changed. Duplicates, a pool as small as the batch, a single training point
    and zero features must not cause errors.
    """
    pool, train = _normal(40), _normal(6, seed=100)
    zeros = torch.zeros(8, _P, dtype=torch.float64)
    assert not isinstance(selection, type), f"pass an instance, {getattr(selection, '__name__', '')}(), not the class"
    for mode in selection.modes or (None,):
        first, again = (_select(selection, mode, pool, train, 9) for _ in range(2))
        assert len(first) == 9, f"{len(first)} indices, not 9"
        assert first == again, "different indices for the same generator"
        assert len(_select(selection, mode, pool, train[:1], 5)) == 5, "too few indices with one training point"
        _select(selection, mode, pool[:4], train, 4)
        _select(selection, mode, zeros, zeros[:2], 4)
        _select(selection, mode, _normal(3).repeat(10, 1).float(), _normal(2, seed=5).float(), 12)
        if not selection.needs_explicit:
            _check_without_matrix(selection, mode, pool, train)
    _assert_name(selection)


def _select(selection: Selection, mode: Mode | None, pool: Tensor, train: Tensor, batch_size: int) -> list[int]:
    features: list[Features] = [DenseFeatures(train.clone()), DenseFeatures(pool.clone())]
    if selection.needs_float64:
        features = [f.to(dtype=torch.float64) for f in features]
    problem = _problem(selection, features, mode)
    indices = selection.select(problem, batch_size)
    assert isinstance(indices, Tensor), f"select() must return a tensor of indices, not a {type(indices).__name__}"
    assert indices.dtype == torch.long, f"indices are {indices.dtype}, not int64"
    chosen: list[int] = indices.tolist()
    assert len(chosen) <= batch_size, f"{len(chosen)} indices for a batch of {batch_size}"
    assert len(set(chosen)) == len(chosen), f"an index is selected twice: {chosen}"
    assert all(0 <= i < len(pool) for i in chosen), f"an index is not in the pool: {chosen}"
    for before, after in ((train, features[0]), (pool, features[1])):
        assert torch.equal(after.matrix(), before.to(after.dtype)), "the features were changed"
    return chosen


def _problem(selection: Selection, features: Sequence[Features], mode: Mode | None) -> SelectionProblem:
    """A problem with features of training and pool points; k(x, x) stands for labels and predictions."""
    train, pool = features
    f = Outcomes(train.diag(), train.diag(), pool.diag()) if selection.needs_predictions else None
    return SelectionProblem(train, pool, mode, 0.3, _generator(), outcomes=f)


def _check_without_matrix(selection: Selection, mode: Mode | None, pool: Tensor, train: Tensor) -> None:
    features: list[Features] = [ProductFeatures((DenseFeatures(x), DenseFeatures(x))) for x in (train, pool)]
    try:
        selection.select(_problem(selection, features, mode), 5)
    except IncompatibleError:
        raise AssertionError("it needs a feature matrix: set the class attribute needs_explicit = True") from None


def _assert_name(component: BaseKernel | Transformation | Selection) -> None:
    name = component.name
    assert type(component).parse(name) == component, f"parsing the name {name!r} does not return the component"


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, _P, generator=_generator(seed), dtype=torch.float64)

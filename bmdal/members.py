"""The members of a model that is no single network, such as the trees of a forest: what each of them predicts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.inputs import Frame, Table, as_tensor, may_cast
from bmdal.network.copies import private_copy
from bmdal.network.modes import plain_arithmetic
from bmdal.network.network import Function, Network, tolerance
from bmdal.network.random_state import own_random_state

Array = NDArray[Any]
Predict = Callable[[Any], Array]
"""From points to the predictions of all members, shape (n, K, outputs), in the members' own precision."""

BAGGING = "fit sklearn.ensemble.BaggingRegressor(your_model, n_estimators=10) and give that"
NEEDS_TWO = "pred needs at least two members, which it compares"


@dataclass(frozen=True)
class MCDropout:
    """A network with dropout as many networks, one for each of `n_members` dropout masks (Monte Carlo dropout).

    A member has one mask, the same for all points. Dropout is that of torch's layers (dropout, recurrent, attention)
    and of functions such as `torch.nn.functional.dropout`; all else is in evaluation mode.

    Args:
        module: the trained network.
        n_members: number of masks, at least 2.
        seed: source of the masks, 0 <= seed < 2^63.

    Raises BmdalError for values that cannot be used.

    Source: Gal and Ghahramani, arXiv 1506.02142.
    """

    module: nn.Module
    n_members: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise BmdalError(f"MCDropout takes a torch.nn.Module, got a {type(self.module).__name__}")
        _check_count(self.n_members)
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise BmdalError(f"seed must be an integer from 0 to 2^63 - 1, got {self.seed!r}")


@dataclass(frozen=True)
class VirtualEnsembles:
    """A CatBoost model as many: member k leaves out the last trees, the fewer the larger k (`VirtEnsembles` there).

    Args:
        model: the fitted CatBoost model, of at least 2 `n_members` trees.
        n_members: number of members, at least 2.

    Raises BmdalError for values that cannot be used.

    Source: Malinin, Prokhorenkova and Ustimenko, arXiv 2006.10562.
    """

    model: Any
    n_members: int = 10

    def __post_init__(self) -> None:
        if not hasattr(self.model, "virtual_ensembles_predict"):
            raise BmdalError(f"VirtualEnsembles takes a CatBoost model, got a {_kind(self.model)}")
        _check_count(self.n_members)


@dataclass(frozen=True)
class Members:
    """The members of a model as one function of points.

    Attributes:
        n_members: K, at least 2.
        n_outputs: number of outputs of a member.
        form: of which kind the points are, and their columns or shape.
        predict: the members' predictions, without checks of the points.
        modules: the networks among the members.
    """

    n_members: int
    n_outputs: int
    form: tuple[str, tuple[Any, ...]]
    predict: Predict
    modules: tuple[nn.Module, ...]

    def __call__(self, X: Table) -> NDArray[np.float64]:
        """What each member predicts, shape (n, K, n_outputs), for points of the form that `members` saw, in n rows.

        Raises BmdalError for points of another form and for predictions that are not finite numbers.
        """
        if (form := _form(X)) != self.form:
            raise BmdalError(f"points must be of one form: the first were {_text(self.form)}, these are {_text(form)}")
        if not _length(X):
            return np.empty((0, self.n_members, self.n_outputs))
        with plain_arithmetic(self.modules):
            predictions = self.predict(X)
        if predictions.shape[1:] != (self.n_members, self.n_outputs):
            raise BmdalError(
                f"the members had {self.n_outputs} output(s) for the first points and have {predictions.shape[2]} now"
            )
        return predictions.astype(np.float64)


def members(model: Any, few: Table) -> Members:
    """The members of a model: functions that each predict, and of which none is the model.

    Args:
        model: a list of fitted estimators (with `predict`), functions of points or networks; a fitted ensemble whose
            prediction is the mean of its `estimators_` (forests, bagging, voting); a pipeline, a search for parameters
            or a `TransformedTargetRegressor` around one; a CatBoost model (or `VirtualEnsembles`); a
            `NetworkRegressor` with `n_models` of at least 2; `MCDropout`.
        few: some of the points, at least two rows of an array, a frame or a tensor, as the model takes them. Networks
            get them as tensors, estimators as arrays or frames, functions as they are.

    Raises BmdalError, with a remedy, for a model without members, for an ensemble that predicts anything but their
    mean, for classifiers, models that are not fitted, predictions that are not finite floating-point numbers of one
    shape, and predictions that depend on chance or on other points.
    """
    form = _form(few)
    if _length(few) < 2:
        raise BmdalError(f"members are checked on a few points, at least two, got {_length(few)}")
    given = model.module if isinstance(model, MCDropout) else model
    modules = tuple(m for m in _listed(given) or [given] if isinstance(m, nn.Module))
    with plain_arithmetic(modules):
        predict = _predict(model, few)
        predictions = predict(few)
        _check_independence(predict, few, predictions)
    _, n_members, n_outputs = predictions.shape
    return Members(n_members, n_outputs, form, predict, modules)


def prediction_features(predictions: Array | Tensor) -> Tensor:
    """The features of the kernel `pred`, phi(x)_i = (f_i(x) - mean_j f_j(x)) / sqrt(K), shape (n, K * outputs).

    The inner product of two points is the covariance of the members' predictions, summed over outputs. In float64:
    members differ by little beside what they predict. Rounding afterwards is harmless.

    Args:
        predictions: f_i(x), shape (n, K, outputs).

    Raises BmdalError for another shape or fewer than two members.

    Source: Kirsch, arXiv 2302.08981.
    """
    P = torch.as_tensor(predictions, dtype=torch.float64)
    if P.ndim != 3:
        raise BmdalError(f"predictions must have shape (n, members, outputs), they have {tuple(P.shape)}")
    _check_count(P.shape[1])
    centred: Tensor = (P - P.mean(dim=1, keepdim=True)) / P.shape[1] ** 0.5
    return centred.flatten(start_dim=1)


def _predict(model: Any, few: Any) -> Predict:
    """How the members of a model predict, whatever it is."""
    if isinstance(model, MCDropout):
        return _dropout(model, few)
    if isinstance(model, VirtualEnsembles):
        _check_no_classifier(_kind(model.model), model.model)
        return _virtual_ensembles(model, few, _reference(model.model, few))
    if (models := _listed(model)) is not None:
        return _separate(models, few)
    kind = _kind(model)
    if isinstance(model, nn.Module):
        raise BmdalError(f"{NEEDS_TWO}; a {kind} is one network: give a list of networks, or MCDropout(network)")
    if isinstance(model, type) or not (callable(model) or hasattr(model, "predict")):
        raise BmdalError(
            f"a model must be a list of members, a fitted ensemble, MCDropout(network) or VirtualEnsembles(model), "
            f"got {kind}{_remedy(model)}"
        )
    if not hasattr(model, "predict"):
        raise BmdalError(f"{NEEDS_TWO}; {kind} is one function: give a list of functions")
    _check_no_classifier(kind, model)
    reference = _reference(model, few)
    if hasattr(model, "best_estimator_"):
        _check_same(model, _reference(model.best_estimator_, few), reference)
        return _predict(model.best_estimator_, few)
    if hasattr(model, "steps"):
        return _pipeline(model, few, reference)
    if hasattr(model, "regressor_") and hasattr(model, "transformer_"):
        return _transformed_target(model, few, reference)
    if hasattr(model, "networks_") and hasattr(model, "y_mean_"):
        return _network_regressor(model, few, reference)
    if hasattr(model, "virtual_ensembles_predict"):
        return _virtual_ensembles(VirtualEnsembles(model), few, reference)
    if hasattr(model, "estimators_"):
        return _ensemble(model, few, reference)
    raise BmdalError(f"{NEEDS_TWO}; a {kind} is one model: give a list of models trained apart, or {BAGGING}")


def _separate(models: list[Any], few: Any) -> Predict:
    """Members that are given one by one."""
    _check_count(len(models))
    names = [f"member {i} ({_kind(model)})" for i, model in enumerate(models)]
    each = [_member(name, model, few) for name, model in zip(names, models, strict=True)]
    return lambda X: _stacked(names, (predict(X) for predict in each), X)


def _member(name: str, model: Any, few: Any) -> Callable[[Any], Any]:
    """One member."""
    if isinstance(model, nn.Module):
        network, function = _network(name, model, few)
        return lambda X: _outputs(network, function, X)
    if isinstance(model, type) or not (callable(model) or hasattr(model, "predict")):
        raise BmdalError(
            f"{name} must be a fitted estimator, a function of points or a torch.nn.Module{_remedy(model)}"
        )
    if not hasattr(model, "predict"):
        return lambda X: _called(name, model, copy.deepcopy(X))
    _check_no_classifier(name, model)
    has_variance = _has_variance(model)
    predict = model.predict

    def predictions(X: Any) -> Any:
        raw = _called(name, predict, copy.deepcopy(_for_estimators(X)))
        return raw[:, :1] if has_variance else raw

    return predictions


def _ensemble(model: Any, few: Any, reference: Array) -> Predict:
    """The `estimators_` of an ensemble, if it predicts their mean."""
    kind, estimators = _kind(model), model.estimators_
    refusal = f"the `estimators_` of a {kind} are no members: "
    remedy = f". Give a list of models trained apart, or {BAGGING}"
    if getattr(estimators, "ndim", 1) > 1:
        raise BmdalError(f"{refusal}they are stages of boosting, each of which corrects those before{remedy}")
    weights = getattr(model, "weights", None)
    unequal = isinstance(weights, Sequence | np.ndarray) and len(set(weights)) > 1
    if unequal or hasattr(model, "estimator_weights_") or hasattr(model, "final_estimator_"):
        raise BmdalError(f"{refusal}they count with weights of their own, which pred does not know{remedy}")
    if len(estimators) < 2:
        raise BmdalError(f"{NEEDS_TWO}; the {kind} has {len(estimators)}: fit it with more")
    names = [f"estimator {i} ({_kind(estimator)})" for i, estimator in enumerate(estimators)]
    for name, estimator in zip(names, estimators, strict=True):
        _check_no_classifier(f"{name} of the {kind}", estimator)

    def predict(X: Any) -> Array:
        forms = zip(names, estimators, _given_to_estimators(model, X), strict=True)
        return _stacked(names, (_called(name, one.predict, form) for name, one, form in forms), X)

    try:
        predictions = predict(few)
    except BmdalError as error:
        raise BmdalError(f"{refusal}{error}{remedy}") from error
    if not _same_up_to_rounding(_mean(predictions), reference):
        raise BmdalError(
            f"{refusal}it does not predict their mean. Perhaps there is one for each output, or they are stages or "
            f"weighted{remedy}"
        )
    has_variance = _has_variance(model)
    return lambda X: predict(X)[..., :1] if has_variance else predict(X)


def _given_to_estimators(model: Any, X: Any) -> Iterator[Any]:
    """Points as an ensemble gives them to each of its `estimators_`: some columns, float32 to trees, or as they are."""
    X = _for_estimators(X)
    if (features := getattr(model, "estimators_features_", None)) is not None:
        table = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
        yield from (table[:, chosen] for chosen in features)
        return
    in_float32 = None
    for estimator in model.estimators_:
        if not hasattr(estimator, "tree_") or hasattr(estimator, "feature_names_in_"):
            yield X
            continue
        if in_float32 is None:
            with np.errstate(over="ignore"):  # trees refuse what becomes infinite
                in_float32 = (X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)).astype(np.float32)
        yield in_float32


def _pipeline(model: Any, few: Any, reference: Array) -> Predict:
    """The members of the last step, for points that have gone through those before."""
    last = model.steps[-1][1]

    def transformed(X: Any) -> Any:
        X = copy.deepcopy(_for_estimators(X))
        return _called(f"the {_kind(model)}", model[:-1].transform, X) if len(model.steps) > 1 else X

    _check_same(model, _reference(last, transformed(few)), reference)
    predict = _predict(last, transformed(few))
    return lambda X: predict(transformed(X))


def _transformed_target(model: Any, few: Any, reference: Array) -> Predict:
    """The members of the regressor within, each in the units of the targets; their mean need not be the prediction."""
    kind, predict = f"the {_kind(model)}", _predict(model.regressor_, few)

    def in_target_units(predictions: Array) -> Array:
        raw = _called(kind, model.transformer_.inverse_transform, predictions)
        return _matrix(kind, raw, len(predictions))

    _check_same(model, in_target_units(_reference(model.regressor_, few)), reference)
    return lambda X: np.stack([in_target_units(f) for f in predict(X).swapaxes(0, 1)], axis=1)


def _network_regressor(model: Any, few: Any, reference: Array) -> Predict:
    """A `NetworkRegressor` with one network for each output, as often as it has them."""
    n_models = len(model.networks_) // int(np.size(model.y_mean_))
    if n_models < 2:
        raise BmdalError(f"{NEEDS_TWO}; the {_kind(model)} has one network: fit it with n_models=2 or more")
    singles = [copy.copy(model) for _ in range(n_models)]
    for i, single in enumerate(singles):
        single.networks_ = model.networks_[i::n_models]
    predict = _separate(singles, few)
    _check_same(model, _mean(predict(few)), reference)
    return predict


def _virtual_ensembles(given: VirtualEnsembles, few: Any, reference: Array) -> Predict:
    """CatBoost's virtual ensembles. The last consists of all trees, by which scale and columns are known."""
    model, K = given.model, given.n_members
    kind, has_variance = f"the {_kind(model)} (virtual ensembles)", _has_variance(model)
    remedy = f"give VirtualEnsembles(model, n_members) with at least 2 n_members trees, or {BAGGING}"

    def predict(X: Any) -> Array:
        options = {"prediction_type": "VirtEnsembles", "virtual_ensembles_count": K}
        raw = np.asarray(_called(kind, model.virtual_ensembles_predict, _for_estimators(X), remedy, **options))
        n = _length(X)
        if raw.ndim != 3 or raw.shape[:2] != (n, K):
            raise BmdalError(f"{kind} returned shape {raw.shape} for {n} points and {K} members; {BAGGING}")
        return _matrix(kind, raw.reshape(n, -1), n).reshape(raw.shape)

    if not _same_up_to_rounding(predict(few)[:, -1], reference):
        raise BmdalError(f"{kind} are on another scale than its predictions, as is so with a Poisson loss; {BAGGING}")
    return lambda X: predict(X)[..., :1] if has_variance else predict(X)


def _has_variance(model: Any) -> bool:
    """Whether a model predicts a mean and a variance: CatBoost with the loss RMSEWithUncertainty, perhaps inside."""
    while not hasattr(model, "get_all_params"):
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif isinstance(estimators := getattr(model, "estimators_", None), list) and estimators:
            model = estimators[0]
        else:
            return False
    parameters = _called(_kind(model), lambda _: model.get_all_params(), None)
    return parameters.get("loss_function") == "RMSEWithUncertainty"  # type: ignore[no-any-return]


def _network(name: str, model: nn.Module, few: Any) -> tuple[Network, Function]:
    """A network that is checked, and it as a function in float64, where it takes that."""
    points = as_tensor("the points", few)
    network = Network(model, points, may_cast(few, points))
    try:
        return network, network.precise[0]
    except BmdalError as error:
        raise BmdalError(f"{name}: {error}") from error


def _outputs(network: Network, function: Callable[[Tensor], Tensor], X: Any) -> Tensor:
    points = network.inputs(as_tensor("the points", X)).to(network.precise[1].dtype)
    if isinstance(function, Function):
        return function(function.padded(points))[: len(points)]
    return function(points)


def _dropout(model: MCDropout, few: Any) -> Predict:
    """One network for each mask."""
    network, evaluated = _network("MCDropout", model.module, few)
    module = private_copy(evaluated.module)
    for part in module.modules():
        part.training = isinstance(part, nn.RNNBase | nn.MultiheadAttention)  # which means dropout alone in these
    noisy = Function(module, evaluated.n_outputs, evaluated.smallest)
    seeds = torch.randint(2**63 - 1, (model.n_members,), generator=torch.Generator().manual_seed(model.seed)).tolist()

    def one(x: Tensor) -> Tensor:
        return noisy(noisy.padded(x[None]))[0]

    def all_points(X: Tensor, seed: int) -> Tensor:
        with own_random_state(network.device), _FunctionalDropout():
            _seed(seed, network.device)
            return torch.func.vmap(one, randomness="same")(X)

    def one_by_one(X: Tensor, seed: int) -> Tensor:
        outputs = []
        with own_random_state(network.device), _FunctionalDropout():
            for x in X:
                _seed(seed, network.device)
                outputs.append(one(x))
        return torch.stack(outputs)

    points, seed = network.precise[1], seeds[0]
    try:
        together = all_points(points, seed)
        apart = torch.cat([all_points(points[:1], seed), all_points(points[1:], seed)])
        close = torch.allclose(apart, together, rtol=0.0, atol=tolerance(apart.dtype) * float(apart.abs().max()))
    except Exception as error:  # recurrent layers, for one, are not written for vmap
        if is_out_of_memory(error):
            raise
        close = False
    masked = all_points if close else one_by_one
    names = [f"member {i} (MCDropout)" for i in range(model.n_members)]

    def predict(X: Any) -> Array:
        outputs = (_outputs(network, partial(masked, seed=seed), X) for seed in seeds)
        return _stacked(names, outputs, X)

    if not np.ptp(predict(few), axis=1).any():
        raise BmdalError(
            "MCDropout needs a network with dropout, and this one's outputs do not change by any: train it with "
            "torch.nn.Dropout layers, or give a list of networks"
        )
    return predict


def _seed(seed: int, device: torch.device) -> None:
    """Set the global generators that dropout on a device draws from, and no others."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


class _FunctionalDropout(TorchFunctionMode):
    """Within this context the functions of dropout drop, though the module that calls them is in evaluation mode."""

    names = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
    functions = tuple(getattr(functional, name) for name in names)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self.functions:
            kwargs["training"] = True
        return func(*args, **kwargs)


def _reference(model: Any, few: Any) -> Array:
    """What a model itself predicts, shape (n, columns)."""
    name = f"the {_kind(model)}"
    return _matrix(name, _called(name, model.predict, copy.deepcopy(_for_estimators(few))), _length(few))


def _called(name: str, function: Callable[..., Any], X: Any, remedy: str = "", **options: Any) -> Any:
    """What a function of the user's returns. Raises BmdalError for what it raises."""
    try:
        return function(X, **options)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, BmdalError):
            raise
        if "NotFitted" in type(error).__name__ or "no trained model" in str(error):
            raise BmdalError(f"{name} is not fitted: call its fit first") from error
        hint = f"; {remedy}" if remedy else ""
        raise BmdalError(f"{name} cannot be used with the points: {type(error).__name__}: {error}{hint}") from error


def _stacked(names: Sequence[str], raw: Iterable[Any], X: Any) -> Array:
    """The members' predictions, shape (n, K, outputs), if they are of one shape."""
    matrices = [_matrix(name, one, _length(X)) for name, one in zip(names, raw, strict=True)]
    for name, matrix in zip(names, matrices, strict=True):
        if matrix.shape != matrices[0].shape:
            raise BmdalError(
                f"members must have the same outputs: {names[0]} has {matrices[0].shape[1]}, "
                f"{name} has {matrix.shape[1]}"
            )
    return np.stack(matrices, axis=1)


def _matrix(name: str, raw: Any, n: int) -> Array:
    """Predictions as a matrix, shape (n, outputs). Raises BmdalError for what are none."""
    if isinstance(raw, Tensor):
        raw = _as_array(raw)
    try:
        array = np.asarray(raw)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if isinstance(raw, np.ma.MaskedArray) or array.dtype.kind != "f":
        what = "a masked array" if isinstance(raw, np.ma.MaskedArray) else f"{type(raw).__name__} of {array.dtype}"
        raise BmdalError(
            f"{name} must predict floating-point numbers, it returned {what}; a classifier's classes are of no use, "
            "other numbers can be made float64"
        )
    if array.shape[:1] != (n,) or array.ndim > 2 or not array.size:
        raise BmdalError(f"{name} must return shape ({n},) or ({n}, outputs) for {n} points, it returned {array.shape}")
    array = array.reshape(n, -1)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise BmdalError(f"{name} predicts NaN or infinite values, first for row {row} of the points it was given")
    return array


def _check_independence(predict: Predict, few: Any, predictions: Array) -> None:
    """Raise BmdalError if other company or a second call gives other predictions for the same points."""
    order = list(range(_length(few)))[::-1]
    again = np.concatenate([predict(_rows(few, rows)) for rows in (order[:1], order[1:])])[::-1]
    limit = 1e-3 if predictions.dtype.itemsize < 8 else 1e-5
    bad = np.abs(again - predictions).max(axis=(0, 2)) > limit * np.abs(predictions).max()
    if bad.any():
        raise BmdalError(
            f"member {int(bad.argmax())} predicts something else for the same points in another call or in other "
            "company: a prediction must depend on its point alone, not on chance or on the other points"
        )


def _check_same(model: Any, of_parts: Array, reference: Array) -> None:
    """Raise BmdalError if a model predicts anything but what its parts do."""
    if not _same_up_to_rounding(of_parts, reference):
        raise BmdalError(f"the {_kind(model)} does not predict what its fitted parts predict: give a list of models")


def _same_up_to_rounding(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    eps = max(float(np.finfo(x.dtype).eps) for x in (a, b))
    return bool(np.allclose(a, b, rtol=0.0, atol=1000 * eps * float(np.abs(b).max())))


def _mean(predictions: Array) -> Array:
    """Mean over members, computed in float64 and of the members' precision; shape (n, outputs)."""
    mean: Array = predictions.mean(axis=1, dtype=np.float64).astype(predictions.dtype)
    return mean


def _check_no_classifier(name: str, model: Any) -> None:
    """Raise BmdalError for a classifier. CatBoost's regressors have `classes_`, which are empty."""
    classes = getattr(model, "classes_", None)
    if hasattr(model, "predict_proba") or (classes is not None and len(classes)):
        raise BmdalError(f"{name} is a classifier; pred is for regression: give a regressor")


def _check_count(n_members: Any) -> None:
    if isinstance(n_members, bool) or not isinstance(n_members, int | np.integer):
        raise BmdalError(f"the number of members must be an integer of at least 2, got {n_members!r}")
    if n_members < 2:
        raise BmdalError(f"{NEEDS_TWO}; there are {n_members}: give more")


def _listed(model: Any) -> list[Any] | None:
    return list(model) if isinstance(model, list | tuple | nn.ModuleList) else None


def _kind(model: Any) -> str:
    return str(getattr(model, "__name__", type(model).__name__))


def _remedy(model: Any) -> str:
    if isinstance(model, type):
        return " (a class: give a fitted object of it)"
    return " (with refit=False it has no best_estimator_)" if getattr(model, "refit", True) is False else ""


def _form(X: Any) -> tuple[str, tuple[Any, ...]]:
    """Of which kind points are and, for frames, their columns, otherwise the shape of one."""
    match X:
        case Tensor():
            return "tensor", tuple(X.shape[1:])
        case np.ma.MaskedArray():
            raise BmdalError("the points are a masked array: fill its gaps in, or leave such points out")
        case np.ndarray():
            return "array", X.shape[1:]
        case Frame() if hasattr(X, "columns"):
            return "frame", tuple(X.columns)
    raise BmdalError(f"points must be a tensor, a numpy array or a pandas frame, they are a {type(X).__name__}")


def _text(form: tuple[str, tuple[Any, ...]]) -> str:
    kind, rest = form
    return f"a frame with columns {list(rest)}" if kind == "frame" else f"{kind} rows of shape {rest}"


def _length(X: Any) -> int:
    return int(X.shape[0])  # sparse matrices have no len


def _rows(X: Any, rows: list[int]) -> Any:
    return X.iloc[rows] if isinstance(X, Frame) else X[rows]


def _for_estimators(X: Any) -> Any:
    return _as_array(X) if isinstance(X, Tensor) else X


def _as_array(X: Tensor) -> Array:
    X = X.detach().cpu()
    array: Array = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    return array

"""Members that are passed as a list or are the `estimators_` of an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn

from bmdal.errors import BmdalError
from bmdal.members.checks import (
    BAGGING,
    NEEDS_TWO,
    Predict,
    called,
    check_count,
    check_model,
    check_no_classifier,
    check_same,
    kind_of,
    mean_of,
    same_up_to_rounding,
    stacked,
)
from bmdal.members.networks import as_network, outputs_of
from bmdal.members.points import Array, for_estimators
from bmdal.members.virtual_ensembles import without_variance
from bmdal.network.call import CALL, Call


def separate(models: list[Any], few: Any, call: Call = CALL) -> Predict:
    """How members in a list predict; networks are called as `call` says."""
    check_count(len(models))
    names = [f"member {i} ({kind_of(model)})" for i, model in enumerate(models)]
    each = [_member(name, model, few, call) for name, model in zip(names, models, strict=True)]
    return lambda X: stacked(names, (predict(X) for predict in each), X)


def _member(name: str, model: Any, few: Any, call: Call) -> Callable[[Any], Any]:
    """How one member predicts."""
    if isinstance(model, nn.Module):
        network, function = as_network(name, model, few, call)
        return lambda X: outputs_of(network, function, X)
    check_model(f"{name} must be a fitted estimator, a function of points or a torch.nn.Module", model)
    if not hasattr(model, "predict"):
        return lambda X: called(name, model, copy.deepcopy(X))
    check_no_classifier(name, model)
    predict = model.predict
    return without_variance(model, lambda X: called(name, predict, copy.deepcopy(for_estimators(X))))


def network_regressor(model: Any, few: Any, reference: Array) -> Predict:
    """How the members of a `NetworkRegressor` predict; each has one network per output."""
    n_models = len(model.networks_) // int(np.size(model.y_mean_))
    if n_models < 2:
        raise BmdalError(f"{NEEDS_TWO}; the {kind_of(model)} has one network: fit it with n_models=2 or more")
    singles = [copy.copy(model) for _ in range(n_models)]
    for i, single in enumerate(singles):
        single.networks_ = model.networks_[i::n_models]
    predict = separate(singles, few)
    check_same(model, mean_of(predict(few)), reference)
    return predict


def ensemble(model: Any, few: Any, reference: Array) -> Predict:
    """How the `estimators_` of an ensemble predict. Raises BmdalError unless the ensemble predicts their mean."""
    kind, estimators = kind_of(model), model.estimators_
    refusal = f"the `estimators_` of a {kind} cannot serve as members: "
    remedy = f". Pass a list of separately trained models, or {BAGGING}"
    if getattr(estimators, "ndim", 1) > 1:
        raise BmdalError(f"{refusal}they are stages of boosting, each of which corrects the previous ones{remedy}")
    weights = getattr(model, "weights", None)
    unequal = isinstance(weights, Sequence | np.ndarray) and len(set(weights)) > 1
    if unequal or hasattr(model, "estimator_weights_") or hasattr(model, "final_estimator_"):
        raise BmdalError(f"{refusal}they have different weights, which pred does not support{remedy}")
    if len(estimators) < 2:
        raise BmdalError(f"{NEEDS_TWO}; the {kind} has {len(estimators)}: fit it with more")
    names = [f"estimator {i} ({kind_of(estimator)})" for i, estimator in enumerate(estimators)]
    for name, estimator in zip(names, estimators, strict=True):
        check_no_classifier(f"{name} of the {kind}", estimator)

    def predict(X: Any) -> Array:
        forms = zip(names, estimators, _given_to_estimators(model, X), strict=True)
        return stacked(names, (called(name, one.predict, form) for name, one, form in forms), X)

    try:
        predictions = predict(few)
    except BmdalError as error:
        raise BmdalError(f"{refusal}{error}{remedy}") from error
    if not same_up_to_rounding(mean_of(predictions), reference):
        raise BmdalError(
            f"{refusal}the ensemble does not predict their mean. Perhaps there is one for each output, or they are "
            f"stages or weighted{remedy}"
        )
    return without_variance(model, predict)


def _given_to_estimators(model: Any, X: Any) -> Iterator[Any]:
    """Points as an ensemble passes them to each of its `estimators_`: some columns, float32 for trees, or unchanged."""
    X = for_estimators(X)
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
            with np.errstate(over="ignore"):  # trees refuse infinite values
                in_float32 = (X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)).astype(np.float32)
        yield in_float32

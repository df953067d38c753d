"""Find the members of a model: recognize the kind of model and what wraps it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bmdal.errors import BmdalError
from bmdal.members.checks import (
    BAGGING,
    NEEDS_TWO,
    Predict,
    as_matrix,
    called,
    check_independence,
    check_model,
    check_no_classifier,
    check_same,
    kind_of,
    reference_of,
)
from bmdal.members.dropout import MCDropout, dropout
from bmdal.members.estimators import ensemble, network_regressor, separate
from bmdal.members.points import Array, for_estimators, form_of, form_text, length
from bmdal.members.virtual_ensembles import VirtualEnsembles, virtual_ensembles
from bmdal.network.call import CALL, Call
from bmdal.network.modes import plain_arithmetic
from bmdal.network.random_state import own_random_state
from bmdal.tables import Table


@dataclass(frozen=True)
class Members:
    """The members of a model as one function of points.

    Attributes:
        n_members: number of members K, at least 2.
        n_outputs: number of outputs of each member.
        form: the kind of points, and their columns or shape.
        predict: returns the members' predictions, without checking the points.
        modules: the networks among the members.
    """

    n_members: int
    n_outputs: int
    form: tuple[str, tuple[Any, ...]]
    predict: Predict
    modules: tuple[nn.Module, ...]

    def __call__(self, X: Table) -> NDArray[np.float64]:
        """The prediction of each member, shape (n, K, n_outputs), for n points of the form that `members` was given.

        Raises BmdalError for points of another form and for predictions that are not finite numbers.
        """
        if (form := form_of(X)) != self.form:
            raise BmdalError(
                f"points must have the same form: the first were {form_text(self.form)}, these are {form_text(form)}"
            )
        if not length(X):
            return np.empty((0, self.n_members, self.n_outputs))
        with plain_arithmetic(self.modules), own_random_state(_device(self.modules)):
            predictions = self.predict(X)
        if predictions.shape[1:] != (self.n_members, self.n_outputs):
            raise BmdalError(
                f"the members had {self.n_outputs} output(s) for the first points and now have {predictions.shape[2]}"
            )
        return predictions.astype(np.float64, copy=False)


def members(model: Any, few: Table, call: Call = CALL) -> Members:
    """Find the members of a model, such as the trees of a forest.

    Args:
        model: a list of fitted estimators (with `predict`), functions of points, or networks; a fitted ensemble whose
            prediction is the mean of its `estimators_` (forests, bagging, voting); a pipeline, parameter search or
            `TransformedTargetRegressor` around such an ensemble; a CatBoost model or `VirtualEnsembles`; a
            `NetworkRegressor` with at least 2 `n_models`; or `MCDropout`.
        few: some of the points, at least two rows of an array, a frame or a tensor, as the model takes them. Networks
            get them as tensors, estimators as arrays or frames, functions unchanged.
        call: how networks are called, and which of their outputs count.

    Raises BmdalError, with a remedy, for a model without members, an ensemble that does not predict the mean of its
    members, classifiers, models that are not fitted, predictions that are not finite floating-point numbers or differ
    in shape, and predictions that depend on chance or on other points.
    """
    form = form_of(few)
    if length(few) < 2:
        raise BmdalError(f"members are checked on at least two points, got {length(few)}")
    given = model.module if isinstance(model, MCDropout) else model
    modules = tuple(m for m in _listed(given) or [given] if isinstance(m, nn.Module))
    with plain_arithmetic(modules), own_random_state(_device(modules)):
        predict = _predict(model, few, call)
        predictions = predict(few)
        check_independence(predict, few, predictions)
    _, n_members, n_outputs = predictions.shape
    return Members(n_members, n_outputs, form, predict, modules)


def _device(modules: Sequence[nn.Module]) -> torch.device:
    return next((p.device for module in modules for p in module.parameters()), torch.device("cpu"))


def _predict(model: Any, few: Any, call: Call = CALL) -> Predict:
    """How the members of any supported model predict."""
    if isinstance(model, MCDropout):
        return dropout(model, few, call)
    if isinstance(model, VirtualEnsembles):
        check_no_classifier(kind_of(model.model), model.model)
        return virtual_ensembles(model, few, reference_of(model.model, few))
    if (models := _listed(model)) is not None:
        return separate(models, few, call)
    kind = kind_of(model)
    if isinstance(model, nn.Module):
        raise BmdalError(f"{NEEDS_TWO}; a {kind} is one network: pass a list of networks, or MCDropout(network)")
    check_model(
        "a model must be a list of members, a fitted ensemble, MCDropout(network) or VirtualEnsembles(model), "
        f"got {kind}",
        model,
    )
    if not hasattr(model, "predict"):
        raise BmdalError(f"{NEEDS_TWO}; {kind} is one function: pass a list of functions")
    check_no_classifier(kind, model)
    reference = reference_of(model, few)
    if hasattr(model, "best_estimator_"):
        check_same(model, reference_of(model.best_estimator_, few), reference)
        return _predict(model.best_estimator_, few)
    if hasattr(model, "steps"):
        return _pipeline(model, few, reference)
    if hasattr(model, "regressor_") and hasattr(model, "transformer_"):
        return _transformed_target(model, few, reference)
    if hasattr(model, "networks_") and hasattr(model, "y_mean_"):
        return network_regressor(model, few, reference)
    if hasattr(model, "virtual_ensembles_predict"):
        return virtual_ensembles(VirtualEnsembles(model), few, reference)
    if hasattr(model, "estimators_"):
        return ensemble(model, few, reference)
    if hasattr(model, "sample_y"):
        raise BmdalError(
            f"a {kind} has its own kernel, which you can use directly: select('maxdet-tp', "
            "KernelFunction(model.kernel_, x_pool), ..., train=KernelFunction(model.kernel_, x_train)); or pass a "
            "matrix from model.sample_y to select('bait-f-p_pred', ...)"
        )
    raise BmdalError(f"{NEEDS_TWO}; a {kind} is one model: pass a list of separately trained models, or {BAGGING}")


def _pipeline(model: Any, few: Any, reference: Array) -> Predict:
    """How the members of the last step predict, for points transformed by the steps before it."""
    last = model.steps[-1][1]

    def transformed(X: Any) -> Any:
        X = copy.deepcopy(for_estimators(X))
        return called(f"the {kind_of(model)}", model[:-1].transform, X) if len(model.steps) > 1 else X

    check_same(model, reference_of(last, transformed(few)), reference)
    predict = _predict(last, transformed(few))
    return lambda X: predict(transformed(X))


def _transformed_target(model: Any, few: Any, reference: Array) -> Predict:
    """How the members of the inner regressor predict, in units of the targets; their mean may not be the prediction."""
    kind, predict = f"the {kind_of(model)}", _predict(model.regressor_, few)

    def in_target_units(predictions: Array) -> Array:
        raw = called(kind, model.transformer_.inverse_transform, predictions)
        return as_matrix(kind, raw, len(predictions))

    check_same(model, in_target_units(reference_of(model.regressor_, few)), reference)
    return lambda X: np.stack([in_target_units(f) for f in predict(X).swapaxes(0, 1)], axis=1)


def _listed(model: Any) -> list[Any] | None:
    return list(model) if isinstance(model, list | tuple | nn.ModuleList) else None

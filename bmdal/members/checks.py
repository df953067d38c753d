"""Checks of models and their predictions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.members.points import Array, as_array, for_estimators, length, rows_of

Predict = Callable[[Any], Array]
"""Maps points to the predictions of all members, shape (n, K, outputs), in the members' precision."""

BAGGING = "fit sklearn.ensemble.BaggingRegressor(your_model, n_estimators=10) and pass that"
NEEDS_TWO = "pred needs at least two members to compare"


def check_count(n_members: Any) -> None:
    """Raise BmdalError unless the number of members is an integer of at least 2."""
    if isinstance(n_members, bool) or not isinstance(n_members, int | np.integer):
        raise BmdalError(f"the number of members must be an integer of at least 2, got {n_members!r}")
    if n_members < 2:
        raise BmdalError(f"{NEEDS_TWO}; there are {n_members}: pass more")


def check_model(refusal: str, model: Any) -> None:
    """Raise BmdalError, starting with `refusal`, for what is neither a function nor has `predict`."""
    if isinstance(model, type) or not (callable(model) or hasattr(model, "predict")):
        raise BmdalError(f"{refusal}{_remedy(model)}")


def _remedy(model: Any) -> str:
    if isinstance(model, type):
        return " (a class: pass a fitted instance)"
    return " (with refit=False it has no best_estimator_)" if getattr(model, "refit", True) is False else ""


def check_no_classifier(name: str, model: Any) -> None:
    """Raise BmdalError for a classifier. CatBoost's regressors have `classes_`, which are empty."""
    classes = getattr(model, "classes_", None)
    if hasattr(model, "predict_proba") or (classes is not None and len(classes)):
        raise BmdalError(f"{name} is a classifier; pred is for regression: pass a regressor")


def kind_of(model: Any) -> str:
    return str(getattr(model, "__name__", type(model).__name__))


def reference_of(model: Any, few: Any) -> Array:
    """The model's own predictions, shape (n, columns)."""
    name = f"the {kind_of(model)}"
    return as_matrix(name, called(name, model.predict, copy.deepcopy(for_estimators(few))), length(few))


def called(name: str, function: Callable[..., Any], X: Any, remedy: str = "", **options: Any) -> Any:
    """The result of a user's function. Raises BmdalError for anything that it raises."""
    try:
        return function(X, **options)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, BmdalError):
            raise
        if "NotFitted" in type(error).__name__ or "no trained model" in str(error):
            raise BmdalError(f"{name} is not fitted: call fit first") from error
        hint = f"; {remedy}" if remedy else ""
        raise BmdalError(f"{name} cannot be used with the points: {type(error).__name__}: {error}{hint}") from error


def stacked(names: Sequence[str], raw: Iterable[Any], X: Any) -> Array:
    """The members' predictions, shape (n, K, outputs). Raises BmdalError if their shapes differ."""
    matrices = [as_matrix(name, one, length(X)) for name, one in zip(names, raw, strict=True)]
    for name, matrix in zip(names, matrices, strict=True):
        if matrix.shape != matrices[0].shape:
            raise BmdalError(
                f"members must have the same outputs: {names[0]} has {matrices[0].shape[1]}, "
                f"{name} has {matrix.shape[1]}"
            )
    return np.stack(matrices, axis=1)


def as_matrix(name: str, raw: Any, n: int) -> Array:
    """Predictions as a matrix, shape (n, outputs). Raises BmdalError for anything else."""
    if isinstance(raw, Tensor):
        raw = as_array(raw)
    try:
        array = np.asarray(raw)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if isinstance(raw, np.ma.MaskedArray) or array.dtype.kind != "f":
        what = "a masked array" if isinstance(raw, np.ma.MaskedArray) else f"{type(raw).__name__} of {array.dtype}"
        raise BmdalError(
            f"{name} must predict floating-point numbers, it returned {what}; classes of a classifier cannot be used, "
            "other numbers can be converted to float64"
        )
    if array.shape[:1] != (n,) or array.ndim > 2 or not array.size:
        raise BmdalError(f"{name} must return shape ({n},) or ({n}, outputs) for {n} points, it returned {array.shape}")
    array = array.reshape(n, -1)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise BmdalError(f"{name} predicts NaN or infinite values, first for row {row} of the points it got")
    return array


def check_independence(predict: Predict, few: Any, predictions: Array) -> None:
    """Raise BmdalError if predictions for the same points change in a second call or together with other points."""
    order = list(range(length(few)))[::-1]
    again = np.concatenate([predict(rows_of(few, rows)) for rows in (order[:1], order[1:])])[::-1]
    # What counts are differences between members and points, not how far from 0 an output is; but that is what rounds.
    rounding = 64 * np.finfo(predictions.dtype).eps * np.abs(predictions).max(axis=(0, 1))
    spread = (1e-3 if predictions.dtype.itemsize < 8 else 1e-5) * np.ptp(predictions, axis=(0, 1))
    bad = (np.abs(again - predictions) > spread + rounding).any(axis=(0, 2))
    if bad.any():
        raise BmdalError(
            f"member {int(bad.argmax())} predicts different values for the same points in another call or with "
            "other points: a prediction must only depend on its point, not on chance or on other points"
        )


def check_same(model: Any, of_parts: Array, reference: Array) -> None:
    """Raise BmdalError if a model's predictions differ from those of its parts."""
    if not same_up_to_rounding(of_parts, reference):
        raise BmdalError(f"the {kind_of(model)} does not predict what its fitted parts predict: pass a list of models")


def same_up_to_rounding(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    eps = max(float(np.finfo(x.dtype).eps) for x in (a, b))
    return bool(np.allclose(a, b, rtol=0.0, atol=1000 * eps * float(np.abs(b).max())))


def mean_of(predictions: Array) -> Array:
    """Mean over members, shape (n, outputs), computed in float64 and rounded to the members' precision."""
    mean: Array = predictions.mean(axis=1, dtype=np.float64).astype(predictions.dtype)
    return mean

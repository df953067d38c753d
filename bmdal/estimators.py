"""Networks within scikit-learn pipelines. scikit-learn is recognized by its interface and never imported."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bmdal.errors import BmdalError
from bmdal.method import Method
from bmdal.network.call import Output
from bmdal.transformations import Ensemble


def last_step(model: Any) -> Any:
    """The model at the end of pipelines, parameter searches and regressors with transformed targets."""
    while (inner := _inner(model)) is not None:
        model = inner
    return model


def in_units_of_networks(model: Any, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Labels in the units of the predictions of a regressor's networks, transformed and (y - y_mean_) / y_scale_.

    Those of models without networks stay as they are.
    """
    if not hasattr(last_step(model), "networks_"):
        return y
    while (inner := _inner(model)) is not None:
        if hasattr(model, "transformer_"):
            y = model.transformer_.transform(y.reshape(len(y), -1)).reshape(y.shape)
        model = inner
    standardized: NDArray[np.float64] = (y - model.y_mean_) / model.y_scale_
    return standardized


def within_pipeline(model: Any, tables: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model at the end of a pipeline, and the points, by name, after the steps before it.

    If that model has no networks, nothing changes.

    Raises BmdalError if the pipeline cannot transform the points, or if the regressor was fitted on other columns.
    """
    tables = dict(tables)
    if not hasattr(last_step(model), "networks_"):
        return model, tables
    while (inner := _inner(model)) is not None:
        if hasattr(model, "steps") and len(model.steps) > 1:
            tables = {name: _transformed(name, model[:-1], table) for name, table in tables.items()}
        model = inner
    for name, table in tables.items():
        _check_form(name, model, table)
    return model, tables


def _transformed(name: str, steps: Any, table: Any) -> Any:
    try:
        return steps.transform(copy.deepcopy(table))
    except Exception as error:
        raise BmdalError(f"the pipeline cannot transform {name}: {type(error).__name__}: {error}") from error


def _check_form(name: str, model: Any, table: Any) -> None:
    """Raise BmdalError if a regressor was fitted on other columns."""
    columns, fitted = getattr(table, "columns", None), getattr(model, "feature_names_in_", None)
    if columns is not None and fitted is not None and list(columns) != list(fitted):
        raise BmdalError(f"{name} must have the columns that the regressor was fitted on, {list(fitted)}")
    shape = getattr(table, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] != model.n_features_in_:
        raise BmdalError(f"{name} has {shape[1]} columns, the regressor was fitted on {model.n_features_in_}")


def networks_of(method: Method, model: Any, output: Output) -> tuple[Method, Any, Output]:
    """The method, networks and output to use for a regressor, which may have separate networks for each output.

    The kernel of several outputs is the sum of the outputs' kernels, which is the kernel of an ensemble of all these
    networks.
    """
    networks = getattr(model, "networks_", model)
    n_outputs = int(np.size(getattr(model, "y_mean_", 0.0)))
    if networks is model or n_outputs == 1:
        return method, networks, output
    columns = range(n_outputs) if output is None else [output] if isinstance(output, int) else output
    if isinstance(columns, str) or not columns or not all(0 <= c < n_outputs for c in columns):
        raise BmdalError(f"output={output!r}: the regressor has {n_outputs} outputs, counted from 0")
    n_models = len(networks) // n_outputs
    networks = [network for c in columns for network in networks[c * n_models : (c + 1) * n_models]]
    if method.kernel is None:
        return method, networks, None
    if n_models != method.n_models:
        raise BmdalError(
            f"method {method.name!r} takes {method.n_models} network(s) per output, and the regressor has "
            f"{n_models}: fit it with n_models={method.n_models}, or put 'ens-{n_models}' after the kernel"
        )
    every, ensemble = Ensemble(len(networks)), method.ensemble
    given = method.transformations
    transformations = tuple(every if t is ensemble else t for t in given) if ensemble else (every, *given)
    return replace(method, transformations=transformations), networks, None


def _inner(model: Any) -> Any:
    if isinstance(model, nn.Module):
        return None
    if hasattr(model, "best_estimator_"):
        return model.best_estimator_
    if hasattr(model, "steps"):
        return model.steps[-1][1]
    return model.regressor_ if hasattr(model, "regressor_") and hasattr(model, "transformer_") else None

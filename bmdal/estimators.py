"""Networks within scikit-learn's pipelines, which is recognized by its interface and never imported."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def last_step(model: Any) -> Any:
    """What is at the end of pipelines, searches for parameters and regressors with transformed targets."""
    while (inner := _inner(model)) is not None:
        model = inner
    return model


def within_pipeline(model: Any, tables: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model at the end, and points, by what they are called, as they come there.

    A model that holds no networks in the end stays as it is.
    """
    tables = dict(tables)
    if not hasattr(last_step(model), "networks_"):
        return model, tables
    while (inner := _inner(model)) is not None:
        if hasattr(model, "steps") and len(model.steps) > 1:
            tables = {name: model[:-1].transform(copy.deepcopy(table)) for name, table in tables.items()}
        model = inner
    return model, tables


def _inner(model: Any) -> Any:
    if hasattr(model, "best_estimator_"):
        return model.best_estimator_
    if hasattr(model, "steps"):
        return model.steps[-1][1]
    return model.regressor_ if hasattr(model, "regressor_") and hasattr(model, "transformer_") else None

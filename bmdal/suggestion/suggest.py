"""Two tables in, the rows to label next out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bmdal.batch import Batch
from bmdal.errors import BmdalError
from bmdal.from_features import select
from bmdal.from_models import select_batch
from bmdal.suggestion.encode import Encoded, encode
from bmdal.suggestion.models import Choice, Fitted, importance
from bmdal.suggestion.outlook import Outlook, outlook
from bmdal.suggestion.prepare import Prepared, prepare
from bmdal.suggestion.reasons import Surroundings, reasons, surroundings
from bmdal.suggestion.sheet import Sheet, sheet_of
from bmdal.suggestion.validation import Validation, validate

FEWEST = 5
"""Labelled rows; with fewer, rows are chosen by their inputs alone."""


@dataclass(frozen=True, eq=False)
class Suggestion:
    """The rows to label next, and everything that is known about them.

    Attributes:
        rows: the chosen candidates with all their columns, in order of importance; a frame's index is kept.
        predictions: for each candidate that could be chosen, what the model predicts for each target, and an
            uncertainty: the standard deviation of the model's members, scaled to be as large as the errors of
            cross-validation. Without columns for a first design.
        reasons: for each chosen row, in words, how it differs from what is labelled and how many others it stands for.
        changed: what was dropped or changed in the tables.
        doubts: what to know before acting on it.
        choice: the model and the method.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    reasons: pd.Series
    changed: tuple[str, ...]
    doubts: tuple[str, ...]
    choice: Choice
    details: Details

    @property
    def table(self) -> pd.DataFrame:
        """The rows to label with empty columns for the targets, predictions, uncertainties and reasons."""
        empty = pd.DataFrame(None, self.rows.index, [t for t in self.details.prepared.targets if t not in self.rows])
        extra = self.predictions.iloc[self.details.chosen].map(lambda x: float(f"{x:.6g}")).assign(reason=self.reasons)
        return pd.concat([self.rows, empty, extra.rename(columns=lambda name: _free(name, self.rows.columns))], axis=1)

    @property
    def expected_errors(self) -> list[float]:
        """For each target, the root mean square of the uncertainties of all candidates: the error to expect on them."""
        names = [f"uncertainty of {target}" for target in self.details.targets]
        return [float((self.predictions[name] ** 2).mean() ** 0.5) for name in names]

    @cached_property
    def outlook(self) -> Outlook | None:
        """How the error falls with more labels, and whether choosing pays; None if nothing can be learned."""
        known = self.details
        if known.validation is None:
            return None
        return outlook(self.choice, known.X_labelled, known.Y, known.validation, len(self.rows), known.seed)

    def report(self) -> str:
        """One self-contained HTML page about the suggestion."""
        from bmdal.suggestion.page import page

        return page(self)


@dataclass(frozen=True, eq=False)
class Details:
    """What a suggestion was computed from.

    Attributes:
        prepared: the tables.
        encoded: their columns as numbers.
        Z: features whose distances say how similar rows are, shape (n, p), labelled rows first.
        importance: how much each column counts in these distances.
        chosen: rows of the candidates.
        around: where these lie.
        targets: the targets that vary, and Y their values, shape (n_labelled, n_targets).
        validation: None if nothing can be learned.
        seed: of all random draws.
    """

    prepared: Prepared
    encoded: Encoded
    Z: NDArray[np.float64]
    importance: list[float]
    chosen: NDArray[np.int64]
    around: Surroundings
    targets: tuple[str, ...]
    Y: NDArray[np.float64]
    validation: Validation | None
    seed: int

    @property
    def X_labelled(self) -> NDArray[np.float64]:
        """What the model gets for the labelled rows."""
        return self.encoded.X[: len(self.prepared.Y)]


def suggest(
    labelled: pd.DataFrame | None,
    candidates: pd.DataFrame,
    *,
    batch_size: int,
    target: str | Sequence[str] | None = None,
    model: str = "forest",
    method: str | None = None,
    constraints: Sequence[str] = (),
    group: str | None = None,
    per_group: int = 1,
    cost: str | None = None,
    exclude: pd.DataFrame | None = None,
    seed: int = 0,
) -> Suggestion:
    """Choose the rows of a table that are worth labelling next.

        suggestion = suggest(labelled, candidates, target="price", batch_size=50)
        suggestion.table.to_csv("to_label.csv")

    Args:
        labelled: the rows whose targets are known. None if nothing is labelled (a first design), or if the labelled
            rows are those candidates that have a target.
        candidates: the rows to choose from. Only columns of both tables count. Ids and constant columns are dropped;
            numbers may be written with a decimal comma, thousands separators or a unit; dates, categories, free text
            and missing values are encoded. `Suggestion.changed` says what was done.
        batch_size: number of rows to choose.
        target: the column, or the columns, to be predicted.
        model: "forest", "lightgbm" or "network".
        method: name of a method as in `select_batch`; None: the model's default. Methods with the kernel `linear` work
            without a model, on the encoded columns.
        constraints: conditions that chosen rows satisfy, such as "temperature <= 900".
        group, per_group: a column, and how many rows of each of its values may be chosen.
        cost: a column with the cost of each row; gains are then divided by it.
        exclude: rows that must not be chosen: those that equal one of these in all columns that both tables have.
        seed: of all random draws.

    Raises BmdalError for input that cannot be used; the message names the table, column or value.
    """
    targets = [target] if isinstance(target, str) else list(target or ())
    sheets = [
        None if table is None else sheet_of(name, table)
        for name, table in (("labelled", labelled), ("exclude", exclude))
    ]
    return suggest_from(
        sheets[0],
        sheet_of("candidates", candidates),
        targets,
        batch_size,
        model,
        method,
        constraints,
        group,
        per_group,
        cost,
        sheets[1],
        seed,
    )


def suggest_from(
    labelled: Sheet | None,
    candidates: Sheet,
    targets: Sequence[str],
    batch_size: int,
    model: str,
    method: str | None,
    constraints: Sequence[str],
    group: str | None,
    per_group: int,
    cost: str | None,
    exclude: Sheet | None,
    seed: int,
) -> Suggestion:
    """The suggestion for tables as they were read; see `suggest`."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise BmdalError(f"seed must be an integer from 0 to 2^32 - 1, got {seed!r}")
    if len(set(targets)) < len(targets):
        raise BmdalError(f"a target is named twice: {', '.join(targets)}")
    prepared = prepare(labelled, candidates, targets, batch_size, constraints, group, cost, exclude)
    n = len(prepared.Y)
    varies = np.ptp(prepared.Y, axis=0) > 0 if n else np.empty(0, dtype=bool)
    can_learn = n >= FEWEST and bool(varies.any())
    choice = Choice.of(model, method, can_learn, n)
    encoded = encode(prepared.columns)
    Y, names = prepared.Y[:, varies], tuple(name for name, v in zip(prepared.targets, varies, strict=True) if v)
    X, X_pool = encoded.X[:n], encoded.X[n:]
    equal = [1 / len(prepared.columns)] * len(prepared.columns)
    weights = importance(X, Y, encoded.places, seed) if can_learn else equal
    fitted = choice.fit(X, Y, seed) if can_learn else None
    validation = validate(choice, X, Y, seed) if can_learn else None
    limits: dict[str, Any] = {"groups": prepared.groups, "per_group": per_group, "costs": prepared.costs}
    batch = _batch(choice, fitted, X, X_pool, Y, encoded.distances_of(equal), batch_size, seed, limits)
    chosen = batch.indices.numpy()
    index = prepared.candidates.cells.index if prepared.candidates.index is None else prepared.candidates.index
    predictions, rank = pd.DataFrame(index=index), None
    if fitted is not None and validation is not None:
        mean, sd = fitted.predict(X_pool)
        uncertainty = validation.scale * sd
        for place, name in enumerate(names):
            predictions[f"predicted {name}"] = mean[:, place]
            predictions[f"uncertainty of {name}"] = uncertainty[:, place]
        relative = (uncertainty / Y.std(axis=0)).mean(axis=1)
        rank = np.searchsorted(np.sort(relative), relative[chosen]) / len(relative)
    Z = encoded.distances_of(weights)
    around = surroundings(Z, n, chosen, encoded.places, weights)
    rows = prepared.candidates.cells.set_axis(index, axis=0).iloc[chosen]
    texts = reasons(prepared.columns, chosen, around, rank, batch.n_filled)
    return Suggestion(
        rows,
        predictions,
        pd.Series(texts, index=rows.index, name="reason"),
        (*prepared.changed, *encoded.changed, *batch.notes),
        prepared.doubts,
        choice,
        Details(prepared, encoded, Z, weights, chosen, around, names, Y, validation, seed),
    )


def _batch(
    choice: Choice,
    fitted: Fitted | None,
    X: NDArray[np.float64],
    X_pool: NDArray[np.float64],
    Y: NDArray[np.float64],
    Z: NDArray[np.float64],
    batch_size: int,
    seed: int,
    limits: dict[str, Any],
) -> Batch:
    """What the method chooses: with the model, or from features Z of all rows, labelled ones first."""
    if choice.by_features or fitted is None:
        n = len(X)
        train = Z[:n] if n and choice.method.kernel is not None else None
        return select(choice.method, Z[n:], batch_size, seed, train=train, **limits)
    standard = (Y - fitted.mean) / fitted.spread
    y = standard[:, 0] if Y.shape[1] == 1 else standard
    return select_batch(choice.method, fitted.for_method(choice.method), X, y, X_pool, batch_size, seed, **limits)


def _free(name: str, taken: Any) -> str:
    """The name, or with as many underscores as make it different from others."""
    while name in taken:
        name += "_"
    return name

"""What a suggestion says, in sentences for the command and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bmdal.suggestion.words import rounded

if TYPE_CHECKING:
    from bmdal.suggestion.outlook import Outlook
    from bmdal.suggestion.suggest import Suggestion

MODELS = {"forest": "a random forest", "lightgbm": "bagged LightGBM", "network": "neural networks"}


def overview(suggestion: Suggestion) -> list[str]:
    """What was chosen and how good the model is."""
    known, choice = suggestion.details, suggestion.choice
    n, n_candidates = len(known.prepared.Y), len(known.prepared.candidates.cells)
    with_model = known.validation is not None and not choice.by_features
    by = (
        f"with {MODELS[choice.model]} and the method {choice.method.name}"
        if with_model
        else f"by the method {choice.method.name}, without a model"
    )
    of = (
        f"of {n_candidates:,} candidates, given {n:,} labelled rows"
        if n
        else f"of {n_candidates:,} candidates, as a first design"
    )
    lines = [f"{len(suggestion.rows):,} rows chosen {of}, {by}."]
    if known.validation is not None:
        validation = known.validation
        each = zip(
            known.targets, validation.rmse, validation.within, known.Y.T, suggestion.expected_errors, strict=True
        )
        for name, rmse, within, y, expected in each:
            explained = max(100 * (1 - (rmse / y.std()) ** 2), 0)
            lines.append(
                f"{name}: predictions for labelled rows are off by {rounded(float(rmse))} (root mean square in "
                f"cross-validation, {explained:.0f} % of the variance explained, {100 * within:.0f} % of the errors "
                f"within one uncertainty). Those for the candidates are expected to be off by {rounded(expected)}."
            )
    return lines


def verdict(outlook: Outlook | None) -> str:
    """Whether choosing rows will pay, in words."""
    if outlook is None:
        return "Will it pay? Nothing can be learned from these labels yet, so it cannot be said."
    if outlook.gain is None:
        return f"Will it pay? It cannot be said: {outlook.no_gain}."
    gain = outlook.gain
    mean, low, high = (100 * np.expm1(value) for value in gain.interval)
    seen = (
        f"In {len(gain.differences)} simulations with {gain.n_start} of your labels, choosing {gain.batch_size} more "
        f"with {gain.method} changed the error by {mean:+.1f} % compared with random rows (95 % interval {low:+.1f} to "
        f"{high:+.1f} %)."
    )
    if high < 0:
        worth = f"about {gain.worth:.0f} random rows" if np.isfinite(gain.worth) else "more random rows than there were"
        return f"Will it pay? Yes, by this estimate. {seen} The {gain.batch_size} chosen rows were worth {worth}."
    if low > 0:
        return f"Will it pay? No: in simulations, random rows did better (--method random). {seen}"
    return f"Will it pay? A gain cannot be told from chance. {seen}"

"""Which selection pays for which model: one column per experiment, each a model on the same task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from results.aggregate import CommonPart, common_part
from results.errors import ResultsError
from results.methods import group_rank, kernel_of, label_of
from results.published import load_published
from results.render import Cell, Table
from results.statistics import mean_over_sets, paired_values
from results.tables import METRIC_NAMES

FEATURES = "grad > rp-512"
"""Of the published features, those of the networks that are compared with other models."""


def models_table(frame: pd.DataFrame, metric: str, reference: str) -> Table:
    """Make a table of log metrics minus the reference's by selection method and experiment; the records have one task.

    A value is the mean over data sets of the mean over splits of (mean log metric over rounds - that of the reference
    on the same split). Its standard error is the one of the mean over all pairs (data set, split), so it contains the
    variation between data sets. A column is averaged over the pairs that all of its methods have.

    A row is a selection method with its mode. If an experiment has it with several features, then those of `FEATURES`
    with the lowest published mean log RMSE are shown.

    Raises ResultsError if there is a single experiment, or one without the reference.
    """
    parts = {str(name): part for name, part in frame.groupby("experiment", observed=True)}
    if len(parts) < 2:
        raise ResultsError(f"models are compared between experiments, at least two; there is {', '.join(parts)}")
    if lacking := [name for name, part in parts.items() if reference not in set(part["method"])]:
        raise ResultsError(f"reference={reference} has no records in experiment {', '.join(lacking)}")
    shown = {name: {reference, *_best_known(part["method"].unique())} for name, part in parts.items()}
    common = {name: common_part(part[part["method"].isin(shown[name])]) for name, part in parts.items()}
    values = {name: paired_values(part.frame, metric) for name, part in common.items()}
    cells = {name: _cells(of_runs, reference) for name, of_runs in values.items()}
    ranks = {label_of(str(method)): group_rank(str(method)) for of_runs in values.values() for method in of_runs}
    labels = sorted({label for column in cells.values() for label in column}, key=lambda label: (ranks[label], label))
    rows = tuple((Cell(label), *(column.get(label, Cell(None)) for column in cells.values())) for label in labels)
    task, levels = (
        str(frame["task"].iloc[0]),
        {name: mean_over_sets(of_runs)[reference] for name, of_runs in values.items()},
    )
    means = f"mean log {METRIC_NAMES[metric]} of {reference}: " + ", ".join(f"{n} {v:.3f}" for n, v in levels.items())
    return Table(
        f"models_{task}_{metric}",
        f"Mean log {METRIC_NAMES[metric]} minus that of {reference}, by model ({task})",
        (("selection", "Selection"), *((name, name) for name in cells)),
        rows,
        notes=(means, *_notes(common)),
    )


def _cells(values: pd.DataFrame, reference: str) -> dict[str, Cell]:
    """Return the differences to the reference, by label."""
    differences = values.drop(columns=reference).sub(values[reference], axis=0)
    means, errors = mean_over_sets(differences), differences.sem()
    best = means.round(3).min()
    return {
        label_of(method): Cell(mean, error, best=round(mean, 3) == best)
        for method, mean, error in zip(map(str, means.index), means, errors, strict=True)
    }


def _best_known(methods: Iterable[str]) -> Iterable[str]:
    """Return one method for each label."""
    published = load_published("relu").set_index("method")["log_rmse"]
    chosen: dict[str, str] = {}
    for method in sorted(methods, key=lambda name: (published.get(name, 0.0), name)):
        if method not in published or kernel_of(method).startswith(FEATURES):
            chosen.setdefault(label_of(method), method)
    return chosen.values()


def _notes(common: Mapping[str, CommonPart]) -> Iterator[str]:
    for name, part in common.items():
        pairs = part.frame[["dataset", "split"]].drop_duplicates().groupby("dataset", observed=True)["split"]
        yield f"splits of {name}: " + "; ".join(f"{s} {', '.join(map(str, sorted(own)))}" for s, own in pairs)
        yield from (f"{name}: {note}" for note in part.notes)
    yield "standard errors: over all pairs of a data set and a split, so data sets count as drawn at random"

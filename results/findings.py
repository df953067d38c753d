"""What the records of one experiment and task show, in words."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from results.aggregate import common_part
from results.comparison import compare_with_published, rank_correlation
from results.errors import ResultsError
from results.methods import RANDOM, labels_of
from results.published import PUBLISHED_DATASETS, load_published, published_counterpart
from results.savings import savings

PUBLISHED_SPLITS = 20


def findings(frame: pd.DataFrame, metric: str = "rmse") -> list[str]:
    """Describe one experiment and task: the best method and what it saves, agreement with the paper, what has not run.

    What cannot be said from the records is replaced by the reason.
    """
    sentences: list[str] = []
    for part in (_best, _agreement, _not_run):
        try:
            sentences += part(frame, metric)
        except ResultsError as error:
            sentences.append(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return sentences


def _best(frame: pd.DataFrame, metric: str) -> Iterator[str]:
    found = savings(common_part(frame).frame, metric, RANDOM)
    yield found[0].words(metric, [saving.method for saving in found])
    if pd.isna(found[0].stderr):
        return
    better = [saving for saving in found if saving.is_sure and saving.difference < 0]
    worse = [saving for saving in found if saving.is_sure and saving.difference > 0]
    yield (
        f"Compared with random selection after the last round, {len(better)} of {len(found)} methods are better, "
        f"{len(worse)} worse, and {len(found) - len(better) - len(worse)} within three standard errors of it."
    )
    if len(found) > 1:
        names = labels_of([saving.method for saving in found])
        gap = found[1].difference - found[0].difference
        yield f"The next best, {names[found[1].method]}, differs from the best by {gap:.3f} in log error."


def _agreement(frame: pd.DataFrame, metric: str) -> Iterator[str]:
    compared = compare_with_published(common_part(frame).frame, metric)
    if compared.empty:
        yield "None of these methods has published numbers."
        return
    verdicts = compared["verdict"].value_counts()
    if set(verdicts.index) <= {"agrees", "differs"}:
        n_agree = int(verdicts.get("agrees", 0))
        yield f"{n_agree} of {len(compared)} methods agree with the published numbers within three standard errors."
    else:
        reason = verdicts.index[0].removeprefix("not comparable (").removesuffix(")")
        yield f"The numbers themselves cannot be compared with the published ones: {reason}."
    if len(compared) > 2:
        yield (
            f"The order of the {len(compared)} published methods among them has a rank correlation of "
            f"{rank_correlation(compared):.2f} with the published order."
        )


def _not_run(frame: pd.DataFrame, metric: str) -> Iterator[str]:
    runs = frame[["dataset", "method", "split"]].drop_duplicates()
    n_grid = runs["dataset"].nunique() * runs["method"].nunique() * runs["split"].nunique()
    published = set(load_published(published_counterpart(frame))["method"])
    n_methods = len(published & set(runs["method"].astype(str)))
    datasets = [name for name in PUBLISHED_DATASETS if name in set(runs["dataset"].astype(str))]
    missing = f"{n_grid - len(runs)} of the {n_grid} runs of this grid are missing. " if n_grid > len(runs) else ""
    yield (
        f"{missing}Of the published benchmark, {n_methods} of {len(published)} methods, {len(datasets)} of "
        f"{len(PUBLISHED_DATASETS)} data sets and {runs['split'].nunique()} of {PUBLISHED_SPLITS} splits have run."
    )

"""Tables of statistics and predictions, and the comparison with the published means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from results.agreement import FAR, agreements, method_distances, published_values
from results.comparison import AGREES_WITHIN, MIN_SPLITS, compare_with_published, rank_correlation
from results.methods import group_rank, labels_of
from results.prediction import PAPER_METHOD, predict_improvements
from results.published import PUBLISHED_R2
from results.render import Cell, Table
from results.savings import Saving
from results.statistics import TIE_STDERRS, friedman_ranks, paired_differences, wins_ties_losses
from results.tables import METRIC_LABELS, METRIC_NAMES


def paired_table(frame: pd.DataFrame, metric: str, reference: str, title: str, notes: tuple[str, ...]) -> Table:
    """Make a table of differences to the reference on the same splits, with bootstrap intervals, best first."""
    columns = (
        ("method", "Method"),
        ("difference", f"log {METRIC_LABELS[metric]} minus {reference}"),
        ("low", "95 % from"),
        ("high", "to"),
        ("percent", "as % of the error"),
    )
    rows = tuple(
        (
            Cell(row["method"]),
            Cell(row["difference"]),
            Cell(row["low"]),
            Cell(row["high"]),
            Cell(100 * float(np.expm1(row["difference"])), digits=1),
        )
        for row in paired_differences(frame, metric, reference).to_dict("records")
    )
    resampled = "intervals: percentile bootstrap over the splits within each data set; data sets count as fixed"
    return Table(f"paired_{metric}", title, columns, rows, notes=(resampled, *notes))


def ranks_table(frame: pd.DataFrame, metric: str, title: str, notes: tuple[str, ...]) -> Table:
    """Make a table of mean ranks over data sets, with the Friedman test and Nemenyi's critical difference as notes."""
    ranks = friedman_ranks(frame, metric)
    best = ranks.mean_ranks.index[0]
    alike = ranks.p_values[best]
    rows = tuple(
        (Cell(str(method)), Cell(rank, digits=2, best=method == best), Cell(alike[method]))
        for method, rank in ranks.mean_ranks.items()
    )
    test = (
        f"Friedman test over {ranks.n_datasets} data sets: chi^2 = {ranks.statistic:.2f}, p = {ranks.p_value:.2g}; "
        f"Nemenyi's critical difference of mean ranks at 5 %: {ranks.critical_difference:.2f}"
    )
    columns = (("method", "Method"), ("mean_rank", "Mean rank"), ("p_value", "p (as good as the best)"))
    return Table(f"ranks_{metric}", title, columns, rows, notes=(test, *notes))


def wins_table(frame: pd.DataFrame, metric: str, title: str, notes: tuple[str, ...]) -> Table:
    """Make a table of wins/ties/losses of each method (row) against each other method (column), in data sets."""
    counts = wins_ties_losses(frame, metric)
    counts_of = counts.to_dict("index")
    methods = sorted(counts.index, key=lambda method: (group_rank(method), method))
    labels = labels_of(methods)
    rows = tuple(
        (Cell(m), *(Cell("–" if m == other else "/".join(map(str, counts_of[m][other]))) for other in methods))
        for m in methods
    )
    rule = f"wins/ties/losses over data sets; a tie: within {TIE_STDERRS:g} standard errors of the paired difference"
    columns = (("method", "Method"), *((method, f"vs {labels[method]}") for method in methods))
    return Table(f"wins_{metric}", title, columns, rows, notes=(rule, *notes))


def comparison_table(frame: pd.DataFrame, metric: str, title: str, notes: tuple[str, ...]) -> Table:
    """Make a table of our means and the published ones, with their difference in standard errors and a verdict."""
    comparison = compare_with_published(frame, metric)
    columns = (
        ("method", "Method"),
        (f"log_{metric}", f"log {METRIC_LABELS[metric]}, ours"),
        (f"published_log_{metric}", "published"),
        ("stderrs", "difference in standard errors"),
        ("verdict", "Verdict"),
    )
    rows = tuple(
        (
            Cell(row["method"]),
            Cell(row["ours"], row["ours_stderr"]),
            Cell(row["published"], row["published_stderr"]),
            Cell(row["stderrs"], digits=1),
            Cell(row["verdict"]),
        )
        for row in comparison.to_dict("records")
    )
    order = (
        f"Spearman's rank correlation of our {METRIC_NAMES[metric]} with the published one over {len(comparison)} "
        f"methods: {Cell(rank_correlation(comparison)).text}"
    )
    counts = comparison["verdict"].value_counts()
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    rule = f"verdicts: {verdicts or 'none'}; agrees: within {AGREES_WITHIN:g} standard errors of the difference"
    return Table(f"comparison_{metric}", title, columns, rows, notes=(order, rule, *notes))


def agreement_tables(frame: pd.DataFrame, metric: str, title: str, notes: tuple[str, ...]) -> list[Table]:
    """Make a table of rank correlations with the published means, and one of the methods' distances from them."""
    values, published = published_values(frame, metric)
    return [
        _correlations_table(values, published, metric, title, notes),
        _distances_table(values, published, metric, title, notes),
    ]


def _correlations_table(
    values: pd.DataFrame, published: pd.Series, metric: str, title: str, notes: tuple[str, ...]
) -> Table:
    columns = (
        ("datasets", "Mean over"),
        ("spearman", "Spearman"),
        ("spearman_low", "95 % from"),
        ("spearman_high", "to"),
        ("kendall", "Kendall"),
        ("kendall_low", "95 % from"),
        ("kendall_high", "to"),
        ("between_splits", "Spearman between splits"),
    )
    rows = tuple(
        (Cell(", ".join(found.datasets)), *map(Cell, (*found.spearman, *found.kendall, found.between_splits)))
        for found in agreements(values, published)
    )
    resampled = (
        "intervals: percentile bootstrap; whole splits are drawn within each data set, the same for all methods; the "
        "data sets, the number of rounds and the methods count as fixed"
    )
    n_splits = values.groupby(level="dataset", observed=True).size().min()
    few = (
        f"with {n_splits} splits, a resample can only lose splits and count others twice, which adds noise: the "
        "interval lies mostly below the value and shows what fewer splits would give, not how exact the value is"
    )
    rules = (f"over {len(published)} methods", resampled, *([few] if 1 < n_splits < MIN_SPLITS else []))
    title = f"Rank correlation with the published means over 15 data sets: {title}"
    return Table(f"agreement_{metric}", title, columns, rows, notes=(*rules, *notes))


def _distances_table(
    values: pd.DataFrame, published: pd.Series, metric: str, title: str, notes: tuple[str, ...]
) -> Table:
    table = method_distances(values, published)
    label, ranks = METRIC_LABELS[metric], [name for name in map(str, table) if name.startswith("rank_")]
    columns = (
        ("method", "Method"),
        ("ours", f"log {label}, ours"),
        ("published", "published"),
        ("distance", "ours minus line"),
        ("rank", "Rank, ours"),
        ("published_rank", "published"),
        *((name, f"on {name.removeprefix('rank_')}") for name in ranks),
        ("far_from", "Far from"),
    )
    rows = tuple(
        (
            Cell(str(row["method"])),
            *(Cell(value) for value in (row["ours"], row["published"], row["ours"] - row["fitted"])),
            *(Cell(row[name], digits=1) for name in ("rank", "published_rank", *ranks)),
            Cell(", ".join(what for what in ("line", "rank") if row[f"off_{what}"])),
        )
        for row in table.reset_index().to_dict("records")
    )
    rule = (
        f"far: by more than {FAR:g} standard deviations; line: the least-squares line of our means and the published "
        "ones; 1 is the best rank"
    )
    title = f"Methods beside their published means over 15 data sets: {title}"
    return Table(f"agreement_methods_{metric}", title, columns, rows, notes=(rule, *notes))


def prediction_table(frame: pd.DataFrame) -> Table:
    """Make a table of the predicted and measured improvement of LCMD over random on every data set of the records.

    Raises ResultsError if no fit is possible with these records.
    """
    predictions = predict_improvements(frame)
    fit = predictions.fit
    columns = (
        ("dataset", "Data set"),
        ("quotient", "log RMSE - log MAE"),
        ("predicted", "predicted"),
        ("low", "95 % from"),
        ("high", "to"),
        ("measured", "measured"),
        ("pays", "Will it pay?"),
    )
    rows = tuple(
        (
            Cell(str(row["dataset"])),
            *(Cell(row[name]) for name, _ in columns[1:-1]),
            Cell(_pays(row["low"], row["high"])),
        )
        for row in predictions.table.to_dict("records")
    )
    published = ", ".join(f"{value} ({name})" for name, value in PUBLISHED_R2.items())
    notes = (
        "0.3 means that the logarithm of the RMSE falls 30 % further than with random selection",
        f"fit on {fit.n_datasets} data sets of {predictions.experiment}, {predictions.task}: "
        f"{fit.slope:.3f} x quotient {fit.intercept:+.3f}, "
        f"R^2 = {fit.r_squared:.3f}; published R^2: {published}",
        "a data set with a measured value is predicted from the others (a dash: too few others)",
    )
    return Table("prediction", f"Relative improvement of {PAPER_METHOD} over random", columns, rows, notes=notes)


def _pays(low: float, high: float) -> str:
    if np.isnan(low):
        return "–"
    return "yes" if low > 0 else "no" if high < 0 else "open"


def savings_table(found: Sequence[Saving], metric: str, title: str, notes: tuple[str, ...]) -> Table:
    """Make a table of how many labels each method saves; the last note describes the best method in words."""
    columns = (
        ("method", "Method"),
        ("difference", f"log {METRIC_NAMES[metric]} minus {found[0].reference}'s at the end"),
        ("n_needed", "labels needed for its last error"),
        ("low", "95 % interval: from"),
        ("high", "to"),
        ("n_labels", "labels at the end"),
    )
    rows = tuple(
        (
            Cell(s.method),
            Cell(s.difference, s.stderr),
            Cell(s.n_needed, digits=0),
            *(Cell(n if np.isfinite(n) else None, digits=0) for n in s.needed_interval),
            Cell(s.n_labels),
        )
        for s in found
    )
    return Table("savings", title, columns, rows, notes=(*notes, found[0].words(metric, [s.method for s in found])))

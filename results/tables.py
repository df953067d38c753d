"""The paper's tables, made from summaries of our runs or the published ones."""

from __future__ import annotations

import pandas as pd

from results.aggregate import mean_and_stderr, run_values
from results.methods import LITERATURE, group_rank, labels_of, selection_of
from results.record import METRICS
from results.render import Cell, Table

METRIC_LABELS = {"mae": "MAE", "rmse": "RMSE", "q95": "95 %", "q99": "99 %", "maxe": "MAXE"}
METRIC_NAMES = {"mae": "MAE", "rmse": "RMSE", "q95": "95 % quantile", "q99": "99 % quantile", "maxe": "MAXE"}


def methods_table(
    summary: pd.DataFrame, title: str, *, published: pd.DataFrame | None = None, notes: tuple[str, ...] = ()
) -> Table:
    """Make a table of all methods: mean log metrics with standard errors, and seconds, grouped by selection method.

    `summary` has a row per method, with the columns of `summarize`; `seconds` may be missing. `published` adds the
    published means.
    """
    summary = _in_groups(summary)
    columns = [("method", "Method"), *((f"log_{m}", METRIC_LABELS[m]) for m in METRICS)]
    cells = [[Cell(str(method)) for method in summary["method"]]]
    cells += [_metric_cells(summary, f"log_{metric}") for metric in METRICS]
    if "seconds" in summary:
        columns.append(("seconds", "Time [s]"))
        cells.append([Cell(seconds) for seconds in summary["seconds"]])
    if published is not None:
        there = published.set_index("method").reindex(summary["method"])
        columns += [(f"published_log_{m}", f"published {METRIC_LABELS[m]}") for m in METRICS]
        cells += [
            [Cell(*pair) for pair in zip(there[f"log_{m}"], there[f"log_{m}_stderr"], strict=True)] for m in METRICS
        ]
    groups = tuple(selection_of(method) for method in summary["method"])
    return Table("methods", title, tuple(columns), tuple(zip(*cells, strict=True)), groups, notes)


def literature_table(summary: pd.DataFrame, title: str, *, notes: tuple[str, ...] = ()) -> Table:
    """Make a table of the methods from the literature that are present, best mean log RMSE first."""
    rows = summary[summary["method"].isin(list(LITERATURE))].sort_values("log_rmse")
    columns = [("rank", "Rank"), ("known_as", "Known as"), ("method", "Method")]
    columns += [(f"log_{m}", METRIC_LABELS[m]) for m in METRICS]
    cells = [[Cell(rank) for rank in range(1, len(rows) + 1)]]
    cells += [[Cell(LITERATURE[m]) for m in rows["method"]], [Cell(str(m)) for m in rows["method"]]]
    cells += [_metric_cells(rows, f"log_{metric}") for metric in METRICS]
    return Table("literature", title, tuple(columns), tuple(zip(*cells, strict=True)), notes=notes)


def per_dataset_table(
    frame: pd.DataFrame, metric: str, *, final: bool, log: bool, title: str, notes: tuple[str, ...] = ()
) -> Table:
    """Make a table of one metric by data set and method, averaged over rounds or from the last round, log or not.

    Cells are means over splits with standard errors. A dash means that a method has not run.
    """
    values = run_values(frame, metrics=[metric], final=final, log=log)
    methods = sorted(values["method"].unique(), key=lambda method: (group_rank(method), method))
    labels = labels_of(methods)
    rows = []
    for dataset, part in values.groupby("dataset", observed=True):
        summary = mean_and_stderr(part, [metric], ["method"]).set_index("method").reindex(methods)
        rows.append((Cell(str(dataset)), *_metric_cells(summary, metric)))
    name = f"per_dataset_{metric}{'' if log else '_nolog'}{'_final' if final else ''}"
    columns = (("dataset", "Data set"), *((method, labels[method]) for method in methods))
    return Table(name, title, columns, tuple(rows), notes=notes)


def _in_groups(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort by selection method in the paper's order, then by mean log RMSE."""
    order = summary["method"].astype(str).map(group_rank)
    return summary.assign(order=order).sort_values(["order", "log_rmse"]).drop(columns="order")


def _metric_cells(summary: pd.DataFrame, column: str) -> list[Cell]:
    best = summary[column].round(3).min()
    pairs = zip(summary[column], summary[f"{column}_stderr"], strict=True)
    return [Cell(value, stderr, best=round(value, 3) == best) for value, stderr in pairs]

"""The leaderboard as pictures: seconds of selection against gain, and mean ranks with the critical difference."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plots import critical_difference
from plots.style import line_styles, new_figure
from results.leaderboard import Contest
from results.methods import RANDOM, group_rank, label_of, labels_of, selection_of
from results.statistics import friedman_ranks


def draw_cost(board: pd.DataFrame, title: str) -> Figure:
    """Draw error against seconds per batch of all methods; those that no other beats in both are numbered.

    `board` has the columns `method`, `seconds`, `error`, `error_low` and `error_high` of `leaderboard`.
    """
    figure = new_figure(7.5, 5.0)
    axes = figure.subplots()
    seconds = board["seconds"].where(board["seconds"] > 0)
    for row, x in zip(board.to_dict("records"), seconds, strict=True):
        style = {**line_styles([row["method"]])[row["method"]], "linestyle": "none"}
        axes.plot([x], [row["error"]], label=row["method"], **style)
        axes.vlines([x], row["error_low"], row["error_high"], color=style["color"], alpha=0.25, linewidth=0.8)
    named = front(board)
    for number, row in enumerate(named.to_dict("records"), 1):
        axes.annotate(f"{number}", (row["seconds"], row["error"]), (-3, -4), textcoords="offset points", va="top")
    key = "\n".join(f"{number} {method}" for number, method in enumerate(named["method"], 1))
    axes.text(0.01, 0.01, key, transform=axes.transAxes, fontsize=8)
    axes.axhline(0, color="#000000", linestyle="--", linewidth=0.8)
    axes.set(
        xscale="log",
        xlabel="seconds of kernel and selection per batch",
        ylabel=f"log RMSE minus that of {RANDOM}",
        title=title,
    )
    families = dict.fromkeys(selection_of(m) for m in sorted(board["method"], key=group_rank))
    styles = {family: {**line_styles([family])[family], "linestyle": "none"} for family in families}
    handles = [Line2D([], [], label=label_of(f), **styles[f]) for f in families]
    axes.legend(handles=handles, ncols=2, fontsize=8)
    return figure


def front(board: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that no other beats: none is both at least as fast and better."""
    ordered = board.sort_values(["seconds", "error"])
    return ordered[ordered["error"] < ordered["error"].cummin().shift(fill_value=float("inf"))]


def draw_ranks(contest: Contest) -> Figure:
    """The critical-difference diagram of `contest.shown`, the methods of the paper's figures and all new ones.

    Raises ResultsError if there are too few methods or data sets.
    """
    shown = contest.frame[contest.frame["method"].isin(contest.shown)]
    return critical_difference.draw(friedman_ranks(shown, "rmse"), labels_of(contest.shown), contest.title)

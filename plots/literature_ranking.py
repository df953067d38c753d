"""Methods from the literature, ranked by their published mean log RMSE; only uses the published numbers."""

from __future__ import annotations

from matplotlib.figure import Figure

from plots.style import colour_of, new_figure
from results.methods import LITERATURE
from results.published import PUBLISHED_R2, load_published


def draw() -> Figure:
    """One panel per activation, with the best method on top and error bars of one standard error."""
    figure = new_figure(7.5, 3.4)
    for axes, name in zip(figure.subplots(1, len(PUBLISHED_R2)), PUBLISHED_R2, strict=True):
        table = load_published(name)
        rows = table[table["method"].isin(list(LITERATURE))].sort_values("log_rmse", ascending=False)
        for place, row in enumerate(rows.to_dict("records")):
            bar = {"xerr": row["log_rmse_stderr"], "fmt": "o", "color": colour_of(row["method"]), "capsize": 2}
            axes.errorbar(row["log_rmse"], place, **bar, label=LITERATURE[row["method"]])
            text = {"textcoords": "offset points", "xytext": (-6, 3), "ha": "right", "fontsize": 7}
            axes.annotate(f"{row['log_rmse']:.3f}", (row["log_rmse"], place), **text)
        axes.axvline(rows.set_index("method")["log_rmse"]["random"], color="#000000", linestyle="--", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [LITERATURE[method] for method in rows["method"]])
        axes.set(title=name, xlabel="mean log RMSE", ylim=(-0.6, len(rows) - 0.3))
        spread = rows["log_rmse"].max() - rows["log_rmse"].min()
        axes.set_xlim(rows["log_rmse"].min() - 0.35 * spread, rows["log_rmse"].max() + 0.1 * spread)
    figure.suptitle("Methods from the literature, as published: 256x16, 15 data sets, 20 splits; lower is better")
    return figure

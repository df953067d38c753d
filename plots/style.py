"""The common style of all figures: a colour and a marker per selection method, sizes, saving."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from cli.files import written_aside
from plots.errors import PlotError
from results.methods import RANDOM, selection_of
from results.published import PUBLISHED_DATASETS

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Based on the palette of Okabe and Ito, which is safe for colour-blind readers; markers differ as well.
_LOOKS = {
    "random": ("#000000", "o"),
    "maxdiag": ("#E69F00", "v"),
    "maxdet": ("#D55E00", "<"),
    "bait-f": ("#CC79A7", ">"),
    "bait-fb": ("#882255", "P"),
    "fw": ("#7F7F1F", "X"),
    "maxdist": ("#009E73", "D"),
    "kmeanspp": ("#56B4E9", "s"),
    "lcmd": ("#0072B2", "^"),
    "epig": ("#332288", "h"),
    "rpcholesky": ("#B5651D", "8"),
    "maxherding": ("#44AA99", "H"),
    "uherding": ("#1B7837", "p"),
    "power": ("#B8860B", "d"),
    "igs": ("#AA4499", "s"),
}
_OTHER = ("#7A5195", "*")  # selections that users add
_LINES = ("-", ":", "-.", (0, (3, 1, 1, 1, 1, 1)))  # dashes are reserved for random
_TEX = str.maketrans({char: rf"\{char}" for char in "_%&#"})
# Fifteen colours for data sets, and as many markers.
_DATASET_COLOURS = (
    *("#0072B2", "#56B4E9", "#009E73", "#8FD694", "#D55E00", "#E69F00", "#CC79A7", "#882255"),
    *("#332288", "#999933", "#7A5195", "#44AA99", "#6F4E37", "#7F7F7F", "#000000"),
)
_DATASET_MARKERS = "osD^v<>PXph8dH*"

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "savefig.dpi": 200,
}


def colour_of(method: str) -> str:
    """The colour of a method's selection, the same in every figure."""
    return _LOOKS.get(selection_of(method), _OTHER)[0]


def line_styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each method: random is dashed, and methods with the same selection differ by line."""
    styles: dict[str, dict[str, Any]] = {}
    for place, method in enumerate(methods):
        colour, marker = _LOOKS.get(selection_of(method), _OTHER)
        before = sum(selection_of(other) == selection_of(method) for other in methods[:place])
        line = "--" if method == RANDOM else _LINES[before % len(_LINES)]
        styles[method] = {"color": colour, "marker": marker, "linestyle": line}
    return styles


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def log2_axis(axis: Any) -> None:
    """A logarithmic axis with ticks at powers of two, written as plain numbers."""
    axis.axes.set_xscale("log", base=2) if axis.axis_name == "x" else axis.axes.set_yscale("log", base=2)
    axis.set_major_locator(LogLocator(base=2, numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def dataset_styles(datasets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each data set; those of the published data sets never change."""
    others = [dataset for dataset in datasets if dataset not in PUBLISHED_DATASETS]
    places = [*PUBLISHED_DATASETS, *others]
    return {
        dataset: {
            "color": _DATASET_COLOURS[places.index(dataset) % len(_DATASET_COLOURS)],
            "marker": _DATASET_MARKERS[places.index(dataset) % len(_DATASET_MARKERS)],
            "markersize": 5,
            "markeredgewidth": 0,
        }
        for dataset in datasets
    }


def require_tex() -> None:
    """Raise PlotError unless `usetex=true` can use an installed LaTeX."""
    missing = [program for program in ("latex", "dvipng") if shutil.which(program) is None]
    if missing:
        raise PlotError(
            f"usetex=true needs {' and '.join(missing)}, which is not installed; leave out usetex or install LaTeX"
        )


def escape_for_tex(figure: Figure) -> None:
    """Escape the texts of a figure for LaTeX."""
    for text in figure.findobj(Text):
        parts = text.get_text().split("$")  # every other one is a formula
        text.set_text("$".join(part if i % 2 else part.translate(_TEX) for i, part in enumerate(parts)))


def freeze_layout(figure: Figure) -> None:
    """Compute the layout of a figure once; otherwise each format would repeat it, which takes longer than drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `<name>.pdf` and `<name>.png` atomically and return their paths."""
    freeze_layout(figure)
    files = []
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        file = folder / f"{name}.{kind}"
        with written_aside(file) as aside:
            figure.savefig(aside, format=kind, metadata=metadata)
        files.append(file)
    return files

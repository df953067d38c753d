"""A figure as SVG inside a page, in the page's colours, with texts for its points."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plots.style import freeze_layout

# Replace black by the page's text colour and the grid by its line colour, to be legible in light and dark mode.
_THEME = (("#000000", "currentColor"), ("#d9d9d9", "var(--line)"))


@dataclass(frozen=True)
class InlineFigure:
    """An `<svg>` element, its aspect ratio (width over height), and its points.

    A point is (x, y, text), with x and y as fractions of width and height from the upper left.
    """

    svg: str
    aspect: float
    points: list[tuple[float, float, str]]


def inline_figure(figure: Figure, name: str) -> InlineFigure:
    """Render a figure; `name` makes its identifiers unique among the figures on a page."""
    freeze_layout(figure)
    points = [point for axes in figure.axes for point in _points(axes, figure)]
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # Remove unused identifiers, which would repeat in other figures: identifiers on a page must be unique.
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    for colour, themed in _THEME:
        svg = svg.replace(colour, themed)
    return InlineFigure(svg, round(figure.get_figwidth() / figure.get_figheight(), 4), points)


def _points(axes: Axes, figure: Figure) -> list[tuple[float, float, str]]:
    where = axes.get_title() or axes.get_ylabel()
    points = []
    for line in axes.get_lines():
        label = str(line.get_label())
        has_markers = line.get_marker() not in ("None", "", None)
        if label.startswith("_") or not has_markers or np.size(line.get_xdata()) > 400:
            continue
        data = np.column_stack([np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata())]).astype(float)
        places = figure.transFigure.inverted().transform(axes.transData.transform(data))
        finite = np.isfinite(data).all(axis=1) & np.isfinite(places).all(axis=1)
        for (x, y), (left, bottom) in zip(data[finite], places[finite], strict=True):
            text = f"{label}: {_number(y)} at {_number(x)}" + (f" ({where})" if where else "")
            points.append((round(float(left), 4), round(1 - float(bottom), 4), text))
    return points


def _number(value: float) -> str:
    return f"{value:g}" if float(value).is_integer() else f"{value:.3f}"

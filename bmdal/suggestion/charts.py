"""Pictures of the page as SVG: they scale with the page, and each is drawn for about the width of a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from numpy.typing import NDArray

from bmdal.suggestion.columns import Column, days
from bmdal.suggestion.words import rounded, shown

if TYPE_CHECKING:
    from bmdal.suggestion.outlook import Outlook

WIDTH = 340
N_BINS, N_LEVELS, LONGEST_LEVEL = 20, 8, 16
Points = NDArray[np.float64]


def picture(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    """An SVG picture from its elements; `label` describes it to those who cannot see it."""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> str:
    """An SVG text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """An SVG line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    """An SVG rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'


def polyline(points: Iterable[tuple[Any, Any]], kind: str) -> str:
    """An SVG line through several points."""
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def scatter(groups: dict[str, Points]) -> Markup:
    """A map: circles of each group, at points of shape (n, 2), the later groups above the earlier ones."""
    every = np.concatenate(list(groups.values()))
    low, high = every.min(axis=0), every.max(axis=0)
    size, margin = np.array([2 * WIDTH, 1.3 * WIDTH]), 12
    scale = (size - 2 * margin) / np.where(high > low, high - low, 1.0)
    radius = {"candidate": 2.5, "labelled": 3.5, "chosen": 6.0}
    parts = []
    for kind, points in groups.items():
        places = margin + (points - low) * scale
        circles = [f'<circle cx="{x:.1f}" cy="{size[1] - y:.1f}" r="{radius[kind]}"/>' for x, y in places]
        parts.append(f'<g class="{kind}">{"".join(circles)}</g>')
    return picture(size[0], size[1], "Map of labelled rows, candidates and chosen rows", parts)


def distribution(column: Column, chosen: NDArray[np.int64]) -> Markup:
    """How a column is distributed over candidates, labelled rows and the batch."""
    candidates = column.parts[-1]
    groups = {"candidate": candidates, "chosen": candidates.iloc[chosen]}
    if len(column.parts) == 2:
        groups["labelled"] = column.parts[0]
    draw = _levels if column.kind == "category" else _histogram
    return draw(column, {kind: values.dropna() for kind, values in groups.items()})


def _histogram(column: Column, groups: dict[str, pd.Series]) -> Markup:
    numbers = {kind: (days(v) if column.kind == "date" else v).to_numpy(np.float64) for kind, v in groups.items()}
    every = np.concatenate([numbers["candidate"], numbers["chosen"], numbers.get("labelled", np.empty(0))])
    low, high = np.quantile(every, [0.005, 0.995])
    low, high = (
        (low, high) if high > low else (every.min(), every.max() if every.max() > every.min() else every.min() + 1)
    )
    height, base = 120, 100
    shares = {
        kind: np.histogram(v.clip(low, high), N_BINS, (low, high))[0] / max(len(v), 1) for kind, v in numbers.items()
    }
    top = max(float(share.max()) for share in shares.values()) or 1.0
    x = np.linspace(4, WIDTH - 4, N_BINS + 1)
    y = {kind: base - share / top * (base - 8) for kind, share in shares.items()}
    bars = [
        rectangle(at, top_of, x[1] - x[0] - 1, base - top_of, "candidate")
        for at, top_of in zip(x, y["candidate"], strict=False)
    ]
    steps = [
        polyline(zip(np.repeat(x, 2)[1:-1], np.repeat(y[kind], 2), strict=True), kind)
        for kind in ("labelled", "chosen")
        if kind in y
    ]
    ends = [
        shown(pd.Timestamp(0) + pd.Timedelta(days=int(v))) if column.kind == "date" else rounded(float(v))
        for v in (low, high)
    ]
    labels = [text(4, height - 4, ends[0], "start"), text(WIDTH - 4, height - 4, ends[1], "end")]
    return picture(WIDTH, height, f"Distribution of {column.name}", [*bars, *steps, *labels])


def _levels(column: Column, groups: dict[str, pd.Series]) -> Markup:
    shares = {kind: values.value_counts(normalize=True) for kind, values in groups.items()}
    levels = [str(level) for level in shares["candidate"].index[:N_LEVELS]]
    top = max((float(share.get(level, 0.0)) for share in shares.values() for level in levels), default=1.0) or 1.0
    left, row = 118, 17
    scale = (WIDTH - left - 6) / top
    parts = []
    for i, level in enumerate(levels):
        y = 4 + i * row
        name = level if len(level) <= LONGEST_LEVEL else f"{level[: LONGEST_LEVEL - 1]}…"
        parts.append(text(left - 6, y + 10, name, "end"))
        widths = {kind: float(share.get(level, 0.0)) * scale for kind, share in shares.items()}
        parts.append(rectangle(left, y, widths["candidate"], 12, "candidate"))
        parts.append(rectangle(left, y + 3, widths["chosen"], 6, "chosen"))
        if "labelled" in widths:
            parts.append(line(left + widths["labelled"], y - 1, left + widths["labelled"], y + 13, "labelled"))
    more = len(shares["candidate"]) - len(levels)
    height = 8 + row * len(levels) + (14 if more > 0 else 0)
    if more > 0:
        parts.append(text(left - 6, height - 6, f"and {more} more", "end"))
    return picture(WIDTH, height, f"Levels of {column.name}", parts)


def learning_curve(outlook: Outlook) -> Markup:
    """Errors against numbers of labelled rows, extrapolated to what comes after the batch."""
    n_last = max(2 * outlook.n_now, outlook.n_then)
    smooth = np.geomspace(outlook.n[0], n_last, 40)
    left, right, top, bottom = 52, WIDTH - 10, 10, 190
    high = 1.05 * max(float(np.quantile(outlook.errors, 0.98)), float(outlook.mean_errors.max()))
    x_low, x_high = np.log(outlook.n[0]), np.log(n_last)

    def place(n: Any, error: Any) -> tuple[Any, Any]:
        return left + (np.log(n) - x_low) / (x_high - x_low) * (right - left), bottom - np.minimum(error / high, 1) * (
            bottom - top
        )

    parts = [line(left, bottom, right, bottom, "axis"), line(left, top, left, bottom, "axis")]
    for tick in _ticks(high):
        _, y = place(1.0, tick)
        parts += [line(left, y, right, y, "grid"), text(left - 5, y + 4, shown(float(tick)), "end")]
    for n in dict.fromkeys([int(outlook.n[0]), *[int(v) for v in outlook.n[1:-1]], outlook.n_now, n_last]):
        parts.append(text(float(place(n, 0)[0]), bottom + 15, f"{n:,}", "end" if n == n_last else "middle"))
    parts.append(text((left + right) / 2, bottom + 32, "labelled rows"))
    for n, errors in zip(outlook.n, outlook.errors, strict=True):
        parts += ['<circle cx="{:.1f}" cy="{:.1f}" r="2" class="fold"/>'.format(*place(n, error)) for error in errors]
    measured = [place(n, error) for n, error in zip(outlook.n, outlook.mean_errors, strict=True)]
    parts.append(polyline(measured, "curve"))
    fit = [place(n, outlook.at(n)) for n in smooth]
    parts.append(polyline(fit, "fit"))
    x, y = place(outlook.n_then, outlook.with_batch)
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="chosen"/>')
    return picture(WIDTH, 228, "Learning curve", parts)


def interval(mean: float, low: float, high: float) -> Markup:
    """A change of the error in per cent, with its interval, beside no change."""
    most = 1.15 * max(abs(low), abs(high), 1.0)
    left, right, y = 16, WIDTH - 16, 34

    def place(value: float) -> float:
        return (left + right) / 2 + value / most * (right - left) / 2

    parts = [
        line(left, y, right, y, "axis"), line(place(0), y - 22, place(0), y + 14, "axis"),
        text(place(0), y + 28, "no gain"), text(left, y + 28, "chosen rows better", "start"),
        text(right, y + 28, "random rows better", "end"),
        line(place(low), y, place(high), y, "bar"), f'<circle cx="{place(mean):.1f}" cy="{y}" r="6" class="chosen"/>',
        text(place(mean), y - 12, f"{mean:+.1f} %"),
    ]  # fmt: skip
    return picture(WIDTH, 70, "Change of the error in simulations", parts)


def rounds_chart(n: Sequence[int], lines: Mapping[str, Sequence[float]]) -> Markup:
    """Errors and uncertainties of the rounds, against the numbers of labelled rows."""
    left, right, top, bottom = 52, WIDTH - 10, 10, 150
    values = [v for series in lines.values() for v in series if v == v]
    high, wide = 1.05 * max(values), max(max(n) - min(n), 1)
    parts = [line(left, bottom, right, bottom, "axis"), line(left, top, left, bottom, "axis")]
    for tick in _ticks(high):
        y = bottom - tick / high * (bottom - top)
        parts += [line(left, y, right, y, "grid"), text(left - 5, y + 4, shown(float(tick)), "end")]
    xs = [left + 12 + (k - min(n)) / wide * (right - left - 24) for k in n]
    last = -np.inf
    for x, k in zip(xs, n, strict=True):
        if x - last > 30:
            parts.append(text(x, bottom + 15, f"{k:,}"))
            last = x
    parts.append(text((left + right) / 2, bottom + 32, "labelled rows"))
    for kind, series in lines.items():
        known = [(x, bottom - v / high * (bottom - top)) for x, v in zip(xs, series, strict=True) if v == v]
        parts.append(polyline(known, kind))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind} point"/>' for x, y in known]
    return picture(WIDTH, 186, "Errors and uncertainties of the rounds", parts)


def _ticks(high: float) -> NDArray[np.float64]:
    """Up to five round numbers from 0 to a number."""
    rough = high / 4
    unit = 10.0 ** np.floor(np.log10(rough))
    step = unit * min((m for m in (1, 2, 2.5, 5, 10) if m * unit >= rough), default=10)
    return np.arange(0, high + 1e-9 * high, step)

"""The page about a suggestion: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from bmdal.suggestion import charts
from bmdal.suggestion.history import Held, Round, held, round_of, with_round
from bmdal.suggestion.suggest import Suggestion
from bmdal.suggestion.summary import overview, verdict
from bmdal.suggestion.words import rounded, shown, with_uncertainty

MOST_POINTS = {"candidate": 2000, "labelled": 1000}
"""More points are not drawn on the map, but a random sample of them."""
MOST_COLUMNS = 24
"""Columns whose distribution is drawn, those that count most."""
MOST_TOLD = 8
"""Columns that a point tells about itself."""


@dataclass(frozen=True)
class Past:
    """A line of the table of rounds: the round, its target and how its predictions held."""

    number: int
    round: Round
    target: str
    held: Held | None


def page(suggestion: Suggestion, rounds: Sequence[Round] = ()) -> str:
    """The page; `rounds` are those before this one, see `bmdal.suggestion.history`."""
    known, outlook = suggestion.details, suggestion.outlook
    columns, order = known.prepared.columns, np.argsort([-w for w in known.importance], kind="stable")
    drawn = [columns[i] for i in order if columns[i].kind != "text"]
    groups, told, shares = _map(suggestion, [columns[i].name for i in order[:MOST_TOLD]])
    gain = outlook.gain if outlook else None
    change = [float(100 * np.expm1(value)) for value in gain.interval] if gain else None
    rounds = with_round(rounds, round_of(suggestion))
    folder = files("bmdal.suggestion") / "template"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )  # fmt: skip
    environment.filters["rounded"] = rounded
    return environment.get_template("page.html.j2").render(
        suggestion=suggestion,
        known=known,
        overview=overview(suggestion),
        verdict=verdict(outlook),
        outlook=outlook,
        expected=None if outlook is None else (float(outlook.at(outlook.n_now)), outlook.with_batch),
        unit=known.targets[0] if len(known.targets) == 1 else "spreads of the targets",
        quotients=[] if known.validation is None else _quotients(suggestion),
        map=charts.scatter(groups),
        shares=shares,
        sampled={kind: n for kind, n in MOST_POINTS.items() if kind in groups and _size(suggestion, kind) > n},
        distributions=[(column.name, charts.distribution(column, known.chosen)) for column in drawn[:MOST_COLUMNS]],
        undrawn=[column.name for column in drawn[MOST_COLUMNS:]],
        curve=charts.learning_curve(outlook) if outlook else None,
        interval=charts.interval(*change) if change else None,
        rows=_rows(suggestion),
        past=_past(suggestion, rounds) if len(rounds) > 1 else [],
        developments=_developments(rounds) if len(rounds) > 1 else [],
        data=_script_safe(told),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup((folder / "page.js").read_text(encoding="utf-8")),
    )


def _script_safe(data: Any) -> Markup:
    """JSON within a script element: no `<` can end it."""
    return Markup(
        json.dumps(data, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")
    )


def _size(suggestion: Suggestion, kind: str) -> int:
    prepared = suggestion.details.prepared
    return len(prepared.candidates.cells) if kind == "candidate" else len(prepared.Y)


def _map(suggestion: Suggestion, names: Sequence[str]) -> tuple[dict[str, NDArray[np.float64]], Any, list[float]]:
    """Principal coordinates of some rows of each kind, what each tells, and the share of variance of both axes."""
    known = suggestion.details
    n, rng = len(known.prepared.Y), np.random.default_rng(known.seed)
    centred = known.Z - known.Z.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    axes = axes[:, ::-1][:, :2]
    places = centred @ axes
    if places.shape[1] < 2:
        places = np.column_stack([places, np.zeros(len(places))])
    shares = (variances[::-1] / max(float(variances.sum()), 1e-300))[:2].tolist()
    others = np.setdiff1d(np.arange(len(centred) - n), known.chosen)
    rows = {
        "candidate": n + np.sort(rng.permutation(others)[: MOST_POINTS["candidate"]]),
        "labelled": np.sort(rng.permutation(n)[: MOST_POINTS["labelled"]]),
        "chosen": n + known.chosen,
    }
    rows = {kind: chosen for kind, chosen in rows.items() if len(chosen)}
    told = {kind: [_told(suggestion, int(row), names) for row in chosen] for kind, chosen in rows.items()}
    return {kind: places[chosen] for kind, chosen in rows.items()}, told, shares


def _told(suggestion: Suggestion, row: int, names: Sequence[str]) -> list[list[str]]:
    """Pairs of a name and a value about a row, labelled ones counted first."""
    known = suggestion.details
    n = len(known.prepared.Y)
    values = {column.name: column.parts[0 if row < n else -1] for column in known.prepared.columns}
    place = row if row < n else row - n
    pairs = [[name, shown(_scalar(values[name].iloc[place]))] for name in names]
    if row < n:
        return [
            [name, shown(float(y))] for name, y in zip(known.prepared.targets, known.prepared.Y[row], strict=True)
        ] + pairs
    predictions = suggestion.predictions.iloc[place]
    return [
        [f"predicted {name}", with_uncertainty(float(predictions.iloc[2 * k]), float(predictions.iloc[2 * k + 1]))]
        for k, name in enumerate(known.targets)
        if len(predictions)
    ] + pairs


def _scalar(value: Any) -> Any:
    return float(value) if isinstance(value, float | np.floating) else value


def _rows(suggestion: Suggestion) -> list[list[str]]:
    """The chosen rows as shown: prediction and uncertainty of each target, reason, and all columns."""
    known = suggestion.details
    of_chosen = suggestion.predictions.iloc[known.chosen].to_numpy()
    lines = []
    for predicted, reason, cells in zip(
        of_chosen, suggestion.reasons, suggestion.rows.astype(object).to_numpy(), strict=True
    ):
        pairs = [with_uncertainty(float(mean), float(sd)) for mean, sd in predicted.reshape(-1, 2)]
        lines.append([*pairs, reason, *(shown(_scalar(cell)) if not pd.isna(cell) else "" for cell in cells)])
    return lines


def _quotients(suggestion: Suggestion) -> list[tuple[str, float]]:
    known = suggestion.details
    assert known.validation is not None
    return [(t, float(q)) for t, q in zip(known.targets, known.validation.rmse / known.validation.mae, strict=True)]


def _past(suggestion: Suggestion, rounds: Sequence[Round]) -> list[Past]:
    lines = []
    for number, one in enumerate(rounds, start=1):
        found = held(one, suggestion)
        lines += [
            Past(number, one, target, found.get(target)) for target in one.rmse or suggestion.details.prepared.targets
        ]
    return lines


def _developments(rounds: Sequence[Round]) -> list[tuple[str, Markup]]:
    """For each target, a chart of error and mean uncertainty."""
    targets = list(dict.fromkeys(target for one in rounds for target in one.rmse))
    sizes = [one.n_labelled for one in rounds]
    lines = {
        t: {
            "curve": [one.rmse.get(t, np.nan) for one in rounds],
            "spread": [one.expected.get(t, np.nan) for one in rounds],
        }
        for t in targets
    }
    return [(t, charts.rounds_chart(sizes, lines[t])) for t in targets]

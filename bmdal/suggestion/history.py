"""A log of suggestions in a folder, and how well earlier predictions held once the rows were labelled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bmdal.errors import BmdalError
from bmdal.suggestion.columns import read_column
from bmdal.suggestion.limits import matches
from bmdal.suggestion.sheet import Sheet

if TYPE_CHECKING:
    from bmdal.suggestion.suggest import Suggestion

LOG = "log.jsonl"


@dataclass(frozen=True)
class Round:
    """One suggestion in the log, a line of JSON.

    Attributes:
        labelled, candidates: SHA-256 of the tables.
        decimal: mark of the numbers in `chosen`.
        model, method: what chose.
        n_labelled, n_candidates: sizes of the tables.
        rmse: cross-validated root mean square error of each target; empty if nothing could be learned.
        expected: root mean square of the uncertainties of all candidates, of each target.
        columns, chosen: the chosen rows.
        predicted, uncertainty: of each target, for each chosen row.
    """

    labelled: str
    candidates: str
    decimal: str
    model: str
    method: str
    n_labelled: int
    n_candidates: int
    rmse: dict[str, float]
    expected: dict[str, float]
    columns: list[str]
    chosen: list[list[Any]]
    predicted: dict[str, list[float]]
    uncertainty: dict[str, list[float]]


@dataclass(frozen=True)
class Held:
    """How the predictions of an earlier round for one target compare with the labels that came later.

    Attributes:
        n: how many of its chosen rows are labelled now.
        rmse: root mean square error of their predictions.
        expected: root mean square of their uncertainties.
        within: share of errors within one uncertainty; for a normal distribution it is 0.68.
    """

    n: int
    rmse: float
    expected: float
    within: float


def round_of(suggestion: Suggestion) -> Round:
    """A suggestion as it is logged."""
    known, prepared = suggestion.details, suggestion.details.prepared
    rows, predictions = suggestion.rows, suggestion.predictions
    of_chosen = predictions.iloc[known.chosen]
    rmse = {} if known.validation is None else dict(zip(known.targets, known.validation.rmse.tolist(), strict=True))
    return Round(
        prepared.labelled.digest if prepared.labelled else "",
        prepared.candidates.digest,
        prepared.candidates.decimal,
        suggestion.choice.model,
        suggestion.choice.method.name,
        len(prepared.Y),
        len(prepared.candidates.cells),
        rmse,
        dict(zip(known.targets, suggestion.expected_errors, strict=True)) if rmse else {},
        [str(name) for name in rows],
        [[_plain(cell) for cell in row] for row in rows.astype(object).to_numpy()],
        {name: of_chosen[f"predicted {name}"].tolist() for name in known.targets if rmse},
        {name: of_chosen[f"uncertainty of {name}"].tolist() for name in known.targets if rmse},
    )


def _plain(cell: Any) -> Any:
    if isinstance(cell, str | bool):
        return cell
    if pd.isna(cell):
        return None
    if isinstance(cell, int | np.integer):
        return int(cell)
    return float(cell) if isinstance(cell, float | np.floating) else str(cell)


def read_history(folder: Path) -> tuple[Round, ...]:
    """The rounds in the log, none if there is no log. Raises BmdalError for a damaged line."""
    path = folder / LOG
    if folder.exists() and not folder.is_dir():
        raise BmdalError(f"--history needs a folder, {folder} is a file")
    if not path.exists():
        return ()
    rounds = []
    lines = path.read_bytes().split(b"\n")
    for number, line in ((number, line) for number, line in enumerate(lines, start=1) if line.strip()):
        try:
            rounds.append(_round(json.loads(line)))
        except (AttributeError, TypeError, ValueError) as error:
            raise BmdalError(
                f"{path}: line {number} is damaged ({error}); delete the line, or move the file away"
            ) from None
    return tuple(rounds)


def _round(known: dict[str, Any]) -> Round:
    """A line of the log. Raises AttributeError, TypeError or ValueError for one that cannot have been written here."""
    one = Round(**known)
    pd.DataFrame(one.chosen, columns=one.columns)
    sizes = [len(values) for values in (*one.predicted.values(), *one.uncertainty.values())]
    if any(size != len(one.chosen) for size in sizes) or not one.rmse.keys() == one.expected.keys():
        raise ValueError("its numbers do not belong together")
    return one


def check_history(rounds: Sequence[Round], targets: Sequence[str], names: Sequence[str], folder: Path) -> None:
    """Raise BmdalError if the log is about other tables: no target or no column in common with a round."""
    for number, one in enumerate(rounds, start=1):
        for what, logged, now in (("targets", list(one.rmse), targets), ("columns", one.columns, names)):
            if logged and now and not set(logged) & set(now):
                raise BmdalError(
                    f"{folder / LOG}: round {number} is about the {what} {', '.join(map(repr, logged[:5]))}, not "
                    f"{', '.join(map(repr, now[:5]))}; use another folder for --history"
                )


def with_round(rounds: Sequence[Round], new: Round) -> tuple[Round, ...]:
    """The rounds with a new one, which replaces the last if it is about the same tables."""
    again = bool(rounds) and (rounds[-1].labelled, rounds[-1].candidates) == (new.labelled, new.candidates)
    return (*(rounds[:-1] if again else rounds), new)


def as_log(rounds: Sequence[Round]) -> str:
    """The text of the log."""
    return "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rounds)


def held(one: Round, suggestion: Suggestion) -> dict[str, Held]:
    """How the predictions of an earlier round held, for each target; none if no row of it is labelled now.

    A chosen row is found among the labelled rows by all columns that both tables have.
    """
    prepared = suggestion.details.prepared
    labelled = prepared.labelled
    if labelled is None or not one.predicted:
        return {}
    chosen = Sheet("log", pd.DataFrame(one.chosen, columns=one.columns), decimal=one.decimal)
    shared = [name for name in one.columns if name in labelled.cells and name not in prepared.targets]
    if not shared:
        return {}
    found = matches([read_column(name, [labelled, chosen]) for name in shared])
    known = found >= 0
    results = {}
    for place, name in enumerate(prepared.targets):
        if name in one.predicted and known.any():
            errors = np.array(one.predicted[name])[known] - prepared.Y[found[known], place]
            sd = np.array(one.uncertainty[name])[known]
            rmse, expected = (float(np.sqrt((v**2).mean())) for v in (errors, sd))
            results[name] = Held(int(known.sum()), rmse, expected, float((np.abs(errors) <= sd).mean()))
    return results

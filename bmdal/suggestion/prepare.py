"""From two tables to labelled rows, candidates and the columns that describe them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bmdal.errors import BmdalError
from bmdal.suggestion.columns import Column, as_words, is_numeric, read_column
from bmdal.suggestion.decimals import as_numbers
from bmdal.suggestion.inputs import about_labels, choose_inputs
from bmdal.suggestion.limits import check_column, costs_of, excluded_rows, groups_of, matches, satisfying
from bmdal.suggestion.sheet import Sheet


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that is known before a model is fitted.

    Attributes:
        labelled: the labelled rows; None for a first design.
        candidates: the rows to choose from.
        targets: names of the target columns.
        Y: their values for the labelled rows, shape (n, n_targets).
        columns: the inputs; their parts belong to the labelled rows, if there are any, and the candidates.
        groups, costs: of each candidate, if asked for.
        changed: what was dropped or changed, in words.
        doubts: what the user should know before acting on the answer.
    """

    labelled: Sheet | None
    candidates: Sheet
    targets: tuple[str, ...]
    Y: NDArray[np.float64]
    columns: tuple[Column, ...]
    groups: pd.Series | None
    costs: NDArray[np.float64] | None
    changed: tuple[str, ...]
    doubts: tuple[str, ...]


def prepare(
    labelled: Sheet | None,
    candidates: Sheet,
    targets: Sequence[str],
    batch_size: int,
    constraints: Sequence[str] = (),
    group: str | None = None,
    cost: str | None = None,
    exclude: Sheet | None = None,
) -> Prepared:
    """Read the columns of both tables and apply the restrictions; see `suggest`.

    Raises BmdalError, naming table, column or value, for what cannot be used.
    """
    changed = [note for sheet in (labelled, candidates, exclude) if sheet for note in sheet.notes]
    Y = np.empty((0, 0))
    if targets:
        labelled, candidates = _by_target(labelled, candidates, targets, changed)
        labelled, Y = _with_targets(labelled, targets, changed)
    elif labelled is not None:
        raise BmdalError(
            f"which column of {labelled.name} is to be predicted? Name a target: {', '.join(labelled.names)}"
        )
    columns = _shared(labelled, candidates, {*targets, cost}, changed)
    keep = np.ones(len(candidates.cells), dtype=bool)
    if labelled is not None:
        known = matches(columns) >= 0
        if known.any():
            changed.append(
                f"{known.sum():,} candidates left out: they equal a labelled row in all columns of both tables"
            )
        keep &= ~known
    if exclude is not None:
        of_exclude, names = excluded_rows(candidates, exclude)
        changed.append(
            f"{of_exclude.sum():,} candidates left out: they equal a row of {exclude.name} in {', '.join(names)}"
        )
        keep &= ~of_exclude
    for constraint in constraints:
        satisfied = satisfying(candidates, constraint)
        changed.append(f"{(~satisfied).sum():,} candidates left out: they do not satisfy {constraint}")
        keep &= satisfied
    if not 1 <= batch_size <= keep.sum():
        raise BmdalError(
            f"the batch must have 1 to {keep.sum():,} rows, which are the candidates that are left; got {batch_size}"
        )
    if not keep.all():
        candidates = candidates.rows(keep)
        columns = [replace(c, parts=(*c.parts[:-1], c.parts[-1][keep].reset_index(drop=True))) for c in columns]
    inputs, more, doubts = choose_inputs(columns, Y, targets)
    if not inputs:
        raise BmdalError(f"no column is left that describes the candidates. {' '.join(more)}")
    return Prepared(
        labelled,
        candidates,
        tuple(targets),
        Y,
        tuple(inputs),
        None if group is None else groups_of(candidates, group),
        None if cost is None else costs_of(candidates, cost),
        (*changed, *more),
        (*(about_labels(Y, targets) if targets else ()), *doubts),
    )


def _by_target(
    labelled: Sheet | None, candidates: Sheet, targets: Sequence[str], changed: list[str]
) -> tuple[Sheet, Sheet]:
    """The two tables after candidates with all targets have moved to the labelled rows."""
    if labelled is None:
        for name in targets:
            check_column(candidates, name)
    have = all(name in candidates.cells.columns for name in targets)
    known = _known(_values(candidates, targets)) if have else np.zeros(len(candidates.cells), dtype=bool)
    names = " and ".join(map(repr, targets))
    if labelled is None and not known.any():
        raise BmdalError(f"{candidates.name}: no row has {names}; for a first design, leave out the target")
    if known.all() and have:
        raise BmdalError(f"{candidates.name}: all rows have {names} already, so there is nothing to choose from")
    if not known.any():
        assert labelled is not None
        return labelled, candidates
    changed.append(f"{known.sum():,} rows of {candidates.name} have {names} already and count as labelled")
    rows = candidates.rows(known)
    if labelled is not None:
        if labelled.decimal != candidates.decimal:
            raise BmdalError(
                f"{candidates.name} has {known.sum()} labelled rows, which cannot be joined to {labelled.name}, "
                "because only one of the tables has decimal commas: move them there by hand"
            )
        rows = replace(labelled, cells=pd.concat([labelled.cells, rows.cells], ignore_index=True))
    return rows, candidates.rows(~known)


def _with_targets(labelled: Sheet, targets: Sequence[str], changed: list[str]) -> tuple[Sheet, NDArray[np.float64]]:
    """The rows that have all targets, and their values, shape (n, n_targets)."""
    Y = _values(labelled, targets)
    known = _known(Y)
    if not known.all():
        names = " or ".join(map(repr, targets))
        changed.append(f"{(~known).sum():,} rows of {labelled.name} left out: {names} is missing")
    if known.sum() < 2:
        raise BmdalError(
            f"{labelled.name}: {known.sum()} rows have {', '.join(map(repr, targets))}; at least 2 are needed"
        )
    return labelled.rows(known), Y[known]


def _known(Y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(Y).all(axis=1))


def _values(table: Sheet, targets: Sequence[str]) -> NDArray[np.float64]:
    """The targets as numbers, shape (n, n_targets), NaN where missing. Raises BmdalError for other values."""
    Y = np.empty((len(table.cells), len(targets)))
    for place, name in enumerate(targets):
        check_column(table, name)
        cells = table.cells[name]
        if is_numeric(cells):
            Y[:, place] = cells.to_numpy(np.float64, na_value=np.nan)
            continue
        codes, distinct = pd.factorize(as_words(cells))
        values = as_numbers(list(distinct), table.decimal).values
        wrong = np.flatnonzero((codes >= 0) & np.isnan(np.append(values, 0.0)[codes]))
        if len(wrong):
            raise BmdalError(
                f"{table.name}: the target {name!r} must hold numbers, row {wrong[0] + 1} below the names has "
                f"{str(cells.iloc[wrong[0]])!r}"
            )
        Y[:, place] = np.append(values, np.nan)[codes]
    return Y


def _shared(labelled: Sheet | None, candidates: Sheet, others: set[str | None], changed: list[str]) -> list[Column]:
    """The columns of both tables, converted, without targets and costs."""
    names = [name for name in candidates.names if name not in others]
    if labelled is None:
        return [read_column(name, [candidates]) for name in names]
    for table, other in ((labelled, candidates), (candidates, labelled)):
        only = [name for name in table.names if name not in other.cells and name not in others]
        if only:
            changed.append(f"only in {table.name}, so not used: {', '.join(map(repr, only))}")
    shared = [name for name in names if name in labelled.cells]
    if not shared:
        raise BmdalError(
            f"{labelled.name} and {candidates.name} have no inputs in common: the first has "
            f"{', '.join(labelled.names)}, the second {', '.join(candidates.names)}"
        )
    return [read_column(name, [labelled, candidates]) for name in shared]

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
from bmdal.suggestion.words import counted

_LARGEST = 1e100  # of a target


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
    found_none, left_out = list[str](), list[str]()
    Y = np.empty((0, 0))
    if targets:
        labelled, candidates = _by_target(labelled, candidates, targets, changed)
        labelled, Y = _with_targets(labelled, targets, changed)
    elif labelled is not None:
        raise BmdalError(
            f"which column of {labelled.name} is to be predicted? Name a target: {', '.join(labelled.names)}"
        )
    columns = _shared(labelled, candidates, targets, cost, changed)
    renamed = [] if labelled is None else _renamed(labelled, candidates)
    keep = np.ones(len(candidates.cells), dtype=bool)
    if labelled is not None:
        known = matches([column for column in columns if all(part.notna().any() for part in column.parts)]) >= 0
        if known.any():
            left_out.append(
                f"{counted(int(known.sum()), 'candidate')} left out: equal to a labelled row in all columns of both "
                "tables"
            )
        keep &= ~known
    if exclude is not None:
        of_exclude, names = excluded_rows(candidates, exclude, targets)
        if not of_exclude.any():
            found_none = [f"{exclude.name} excludes nothing: no candidate equals one of its rows in {', '.join(names)}"]
        left_out.append(
            f"{counted(int(of_exclude.sum()), 'candidate')} left out: equal to a row of {exclude.name} in "
            f"{', '.join(names)}"
        )
        keep &= ~of_exclude
    for constraint in constraints:
        satisfied = satisfying(candidates, constraint)
        left_out.append(f"{counted(int((~satisfied).sum()), 'candidate')} left out: not known to satisfy {constraint}")
        keep &= satisfied
    if not keep.any():
        raise BmdalError(f"{candidates.name}: no candidate is left; {'; '.join(left_out)}")
    changed += left_out
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
        (*(about_labels(Y, targets) if targets else ()), *_copies(labelled), *found_none, *renamed, *doubts),
    )


def _copies(labelled: Sheet | None) -> list[str]:
    """A remark on labelled rows that occur twice."""
    n = 0 if labelled is None else int(labelled.cells.duplicated().sum())
    if not n:
        return []
    return [
        f"{counted(n, 'labelled row')} with the same cells as another: if copied by mistake, delete; copies make "
        "errors look small"
    ]


def _renamed(labelled: Sheet, candidates: Sheet) -> list[str]:
    """Remarks on columns whose names in the tables differ only in capitals or blanks."""
    plain = {"".join(name.casefold().split()): name for name in candidates.names if name not in labelled.names}
    return [
        f"{name!r} of {labelled.name} and {plain[key]!r} of {candidates.name}: if they are the same column, give "
        "them the same name; they are not used"
        for name in labelled.names
        if name not in candidates.names and (key := "".join(name.casefold().split())) in plain
    ]


def _by_target(
    labelled: Sheet | None, candidates: Sheet, targets: Sequence[str], changed: list[str]
) -> tuple[Sheet, Sheet]:
    """The two tables after candidates with all targets have moved to the labelled rows."""
    for name in targets:
        check_column(candidates if labelled is None else labelled, name)
    have = all(name in candidates.cells.columns for name in targets)
    there = np.isfinite(_values(candidates, [name for name in targets if name in candidates.cells.columns]))
    known = np.asarray(there.all(axis=1) & have)
    partly = there.any(axis=1) & ~known
    names = " and ".join(map(repr, targets))
    if some := int(partly.sum()):
        changed.append(f"{counted(some, 'candidate')} with only some of {names}: these values are not used")
    if labelled is None and not known.any():
        raise BmdalError(f"{candidates.name}: no row has {names}; for a first design, leave out the target")
    if known.all() and have:
        raise BmdalError(f"{candidates.name}: all rows have {names} already, so there is nothing to choose from")
    if not known.any():
        assert labelled is not None
        return labelled, candidates
    rows = candidates.rows(known)
    n_known = int(known.sum())
    changed.append(
        f"{counted(n_known, 'row')} of {candidates.name} with {names} {'counts' if n_known == 1 else 'count'} as "
        "labelled"
    )
    if labelled is not None:
        if labelled.decimal != candidates.decimal:
            raise BmdalError(
                f"{candidates.name} has {known.sum()} labelled rows, which cannot be joined to {labelled.name}, "
                "because only one of the tables has decimal commas: move them there by hand"
            )
        shared = [name for name in labelled.names if name in rows.cells]
        again = matches([read_column(name, [labelled, rows]) for name in shared]) >= 0
        if again.any():
            changed.append(f"{again.sum():,} of these left out: equal to a row of {labelled.name}")
            rows = rows.rows(~again)
        rows = replace(
            labelled,
            cells=pd.concat([labelled.cells, rows.cells], ignore_index=True),
            index=None,
            numbers=np.append(labelled.row_numbers, rows.row_numbers),
        )
    return rows, candidates.rows(~known)


def _with_targets(labelled: Sheet, targets: Sequence[str], changed: list[str]) -> tuple[Sheet, NDArray[np.float64]]:
    """The rows that have all targets, and their values, shape (n, n_targets)."""
    Y = _values(labelled, targets, changed)
    known = np.asarray(np.isfinite(Y).all(axis=1))
    if not known.all():
        names = " or ".join(map(repr, targets))
        changed.append(f"{counted(int((~known).sum()), 'row')} of {labelled.name} left out: {names} is missing")
    if known.sum() < 2:
        names = " and ".join(map(repr, targets))
        raise BmdalError(
            f"{labelled.name}: {counted(int(known.sum()), 'row')} with a value of {names}; at least 2 are needed"
        )
    return labelled.rows(known), Y[known]


def _values(table: Sheet, targets: Sequence[str], changed: list[str] | None = None) -> NDArray[np.float64]:
    """The targets as numbers, shape (n, n_targets), NaN where missing; `changed` gets how they are written.

    Raises BmdalError for other values, and for numbers too large to be squared.
    """
    Y = np.empty((len(table.cells), len(targets)))
    for place, name in enumerate(targets):
        check_column(table, name)
        cells = table.cells[name]
        if is_numeric(cells):
            Y[:, place] = cells.to_numpy(np.float64, na_value=np.nan)
            wrong = np.abs(Y[:, place]) > _LARGEST
        else:
            codes, distinct = pd.factorize(as_words(cells))
            read = as_numbers(list(distinct), table.decimal)
            Y[:, place] = np.append(read.values, np.nan)[codes]
            wrong = (codes >= 0) & ~(np.abs(Y[:, place]) <= _LARGEST)
            if changed is not None and read.changed:
                changed.append(f"the target {name!r}: read as numbers: {', '.join(read.changed)}")
        if wrong.any():
            numbers = "numbers" if np.isnan(Y[wrong, place]).any() else f"numbers up to {_LARGEST:g}"
            raise BmdalError(
                f"{table.name}: the target {name!r} must hold {numbers}, {table.row(wrong)} "
                f"{'has' if wrong.sum() == 1 else 'do not; the first has'} {str(cells.iloc[int(np.argmax(wrong))])!r}"
            )
    return Y


def _shared(
    labelled: Sheet | None, candidates: Sheet, targets: Sequence[str], cost: str | None, changed: list[str]
) -> list[Column]:
    """The columns of both tables, converted, without targets and costs."""
    others = {*targets, cost}
    names = [name for name in candidates.names if name not in others]
    if cost is not None:
        changed.append(f"{cost!r}: the cost of a row, so not used as an input")
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

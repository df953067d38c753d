"""Which candidates may be chosen: those that satisfy constraints and are neither labelled nor excluded."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bmdal.errors import BmdalError, unknown
from bmdal.suggestion.columns import Column, read_column
from bmdal.suggestion.decimals import as_numbers
from bmdal.suggestion.sheet import Sheet

Mask = NDArray[np.bool_]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
_CONSTRAINT = re.compile(rf"(?P<name>.+?)\s*(?P<operator>{'|'.join(OPERATORS)})\s*(?P<value>[^<>=!]+)")


def check_column(table: Sheet, name: str) -> None:
    """Raise BmdalError, with the columns that there are, if a table has no column of this name."""
    if name not in table.cells.columns:
        raise BmdalError(f"{table.name}: {unknown('column', name, table.cells.columns)}")


def satisfying(table: Sheet, constraint: str) -> Mask:
    """The rows that satisfy a constraint such as "temperature <= 900" or "supplier != Acme".

    Rows without a value do not. Raises BmdalError for another form, an unknown column or a value of another kind.
    """
    match = _CONSTRAINT.fullmatch(constraint.strip())
    if match is None:
        raise BmdalError(f"constraint {constraint!r}: write COLUMN OPERATOR VALUE, with one of {' '.join(OPERATORS)}")
    name, symbol, text = match["name"], match["operator"], match["value"].strip().strip("'\"")
    if name not in table.cells.columns:
        name = name.strip("'\"")
    check_column(table, name)
    column = read_column(name, [table])
    values, compare = column.values, OPERATORS[symbol]
    limit: Any = text
    if column.kind == "number":
        read = as_numbers([text], table.decimal)
        limit = float(read.values[0])
        if np.isnan(limit) or read.unit:
            raise BmdalError(
                f"constraint {constraint!r}: {name!r} holds numbers, and {text!r} is none; leave out units"
            )
    elif column.kind == "date":
        limit = pd.to_datetime(text, format="ISO8601", errors="coerce")
        if pd.isna(limit):
            raise BmdalError(f"constraint {constraint!r}: {name!r} holds dates, write one as 2026-01-31")
        limit = limit if limit.tzinfo is None else limit.tz_convert("UTC").tz_localize(None)
    elif compare not in (operator.eq, operator.ne):
        raise BmdalError(f"constraint {constraint!r}: {name!r} holds words, which only = and != can compare")
    else:
        values, limit = values.str.casefold(), text.casefold()
        if compare is operator.eq and not (values == limit).any():
            raise BmdalError(f"constraint {constraint!r}: {unknown('value', text, column.values.dropna().unique())}")
    return np.asarray(compare(values, limit) & values.notna(), dtype=bool)


def matches(columns: Sequence[Column]) -> NDArray[np.int64]:
    """For each row of the last table, a row of the first that is equal in all columns; -1 if there is none."""
    first, last = (_keys([column.parts[part] for column in columns]) for part in (0, -1))
    distinct, rows = np.unique(first, return_index=True)
    places = np.searchsorted(distinct, last).clip(max=len(distinct) - 1)
    return np.where(distinct[places] == last, rows[places], -1).astype(np.int64)


def _keys(parts: Sequence[pd.Series]) -> NDArray[np.uint64]:
    """A hash of each row, shape (n,); missing values are equal to each other."""
    frame = pd.concat([p.fillna("") if p.dtype == object else p for p in parts], axis=1)
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def excluded_rows(table: Sheet, exclude: Sheet, targets: Sequence[str]) -> tuple[Mask, list[str]]:
    """Which rows of a table equal one of another table in all columns that both have, and these columns.

    Targets are not compared: they may be known in only one of the tables.

    Raises BmdalError if they have no columns in common.
    """
    shared = [name for name in table.cells.columns if name in exclude.cells.columns and name not in targets]
    if not shared:
        raise BmdalError(
            f"{exclude.name} has no column in common with {table.name}, so it cannot exclude its rows; "
            f"valid columns: {', '.join(table.cells.columns)}"
        )
    return matches([read_column(name, [exclude, table]) for name in shared]) >= 0, shared


def groups_of(table: Sheet, name: str) -> pd.Series:
    """The group of each row. Raises BmdalError if one is missing."""
    check_column(table, name)
    groups = read_column(name, [table]).values
    if groups.isna().any():
        raise BmdalError(f"{table.name}: the group {name!r} is empty in {table.row(groups.isna())}; fill it in")
    return groups


def costs_of(table: Sheet, name: str) -> NDArray[np.float64]:
    """The cost of each row. Raises BmdalError unless all are numbers greater than 0."""
    check_column(table, name)
    column = read_column(name, [table])
    if column.kind != "number":
        some = ", ".join(map(repr, column.values.dropna().unique()[:3])) or "nothing"
        raise BmdalError(f"{table.name}: the cost {name!r} must hold numbers, it holds {some}")
    bad = ~(column.values > 0)
    if bad.any():
        raise BmdalError(
            f"{table.name}: the cost {name!r} must be greater than 0 in all rows; it is not in {table.row(bad)}"
        )
    return column.values.to_numpy(np.float64)

"""The roles of the columns of a raw table."""

from __future__ import annotations

from dataclasses import dataclass

from cli.options import did_you_mean
from data_prep.dataset import ColumnRef, DataSet
from data_prep.errors import DataError
from data_prep.tables import Table


@dataclass(frozen=True)
class Columns:
    """Positions of the columns by role; `used` are the inputs and targets in the order of the file.

    categorical: declared by the file or the description. numeric: values that are not numbers count as missing.
    dropped: left out by the description.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    categorical: frozenset[int]
    numeric: frozenset[int]
    dropped: frozenset[int]

    @property
    def used(self) -> tuple[int, ...]:
        return tuple(sorted({*self.inputs, *self.targets}))


def resolve_columns(dataset: DataSet, table: Table) -> Columns:
    """Resolve the description's column names and numbers to positions in a table.

    Raises DataError if a column does not exist, if several columns have its name, if the target is dropped, if a column
    is listed as both numeric and categorical, or if no input is left.
    """

    def positions(key: str, references: tuple[ColumnRef, ...]) -> frozenset[int]:
        return frozenset(_position(dataset.name, key, reference, table.columns) for reference in references)

    targets, dropped = positions("target", dataset.target), positions("drop", dataset.drop)
    if targets & dropped:
        raise DataError(f"data set {dataset.name}: `drop` names the target")
    inputs = tuple(i for i in range(len(table.columns)) if i not in targets | dropped | table.ignored)
    if not inputs:
        raise DataError(f"data set {dataset.name}: no input column is left; check `drop` and `separator`")
    numeric = positions("numeric", dataset.numeric)
    categorical = positions("categorical", dataset.categorical)
    if both := numeric & categorical:
        raise DataError(
            f"data set {dataset.name}: `numeric` and `categorical` both name the column {table.columns[min(both)]!r}"
        )
    return Columns(inputs, tuple(sorted(targets)), (categorical | table.nominal) - numeric, numeric, dropped)


def _position(dataset: str, key: str, reference: ColumnRef, names: tuple[str, ...]) -> int:
    if isinstance(reference, int):
        if 0 <= reference < len(names):
            return reference
        raise DataError(
            f"data set {dataset}: {key}={reference}, but the table's columns are 0 to {len(names) - 1}; "
            "check `separator` and `header`"
        )
    places = [i for i, name in enumerate(names) if name == reference]
    if len(places) > 1:
        where = ", ".join(map(str, places))
        raise DataError(
            f"data set {dataset}: {key}={reference!r}, but {len(places)} columns have that name; "
            f"write the position of one instead: {where}"
        )
    if places:
        return places[0]
    shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    hint = did_you_mean(reference, names)
    raise DataError(f"data set {dataset}: {key}={reference!r} is not a column of the table.{hint} Columns: {shown}")

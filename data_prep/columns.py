"""Which column of a raw table is what."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from data_prep.dataset import ColumnRef, DataSet
from data_prep.errors import DataError
from data_prep.tables import Table


@dataclass(frozen=True)
class Columns:
    """Positions of the columns in use; `used` are inputs and targets in the order of the file.

    categorical: known to be so before the table is read (declared by the file or by the description).
    numeric: anything in them that is no number counts as missing.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    categorical: frozenset[int]
    numeric: frozenset[int]

    @property
    def used(self) -> tuple[int, ...]:
        return tuple(sorted({*self.inputs, *self.targets}))


def resolve_columns(dataset: DataSet, table: Table) -> Columns:
    """The positions that the description's column names and numbers mean in this table.

    Raises DataError if one does not exist, the target is dropped, or no input is left.
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
    categorical = positions("categorical", dataset.categorical) | table.nominal
    return Columns(inputs, tuple(sorted(targets)), categorical - numeric, numeric)


def _position(dataset: str, key: str, reference: ColumnRef, names: tuple[str, ...]) -> int:
    if isinstance(reference, int):
        if 0 <= reference < len(names):
            return reference
        raise DataError(
            f"data set {dataset}: {key}={reference}, but the table's columns are 0 to {len(names) - 1}; "
            "check `separator` and `header`"
        )
    if reference in names:
        return names.index(reference)
    near = difflib.get_close_matches(reference, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    raise DataError(f"data set {dataset}: {key}={reference!r} is no column of the table.{hint} Columns: {shown}")

"""Tables in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io

from data_prep.errors import DataError
from data_prep.progress import Unit
from data_prep.tables.base import Chunk


class FrameTable:
    """A frame of numbers as a table of one chunk."""

    nominal: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()
    unit: Unit = "rows"

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame.set_axis(range(frame.shape[1]), axis=1)
        self.columns = tuple(str(name) for name in frame.columns)
        self.size: float = len(frame)

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """See `Table.chunks`; text columns are not supported, because these tables have none."""
        yield Chunk(self._frame[list(columns)], self.size)


def matlab_table(path: Path, variable: str) -> FrameTable:
    """Read the matrix `variable` from a MATLAB file. Raises DataError if the file or the variable is missing."""
    try:
        contents = scipy.io.loadmat(path, variable_names=[variable])
    except Exception as error:  # damaged bytes cause many kinds of errors in scipy
        raise DataError(f"{path}: not a readable MATLAB file ({error})") from error
    if variable not in contents:
        found = ", ".join(name for name, *_ in scipy.io.whosmat(path)) or "none"
        raise DataError(f"{path}: no variable {variable!r}; found: {found}")
    matrix = contents[variable]
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise DataError(f"{path}: the variable {variable!r} is not a matrix of numbers; set `member` to another one")
    return FrameTable(pd.DataFrame(matrix.astype(np.float64)))

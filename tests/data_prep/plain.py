"""The preparation once more, with plain pandas on a table that fits in memory: what the tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def plain_preparation(
    table: pd.DataFrame, targets: Sequence[str | int], *, log: bool = False, max_rows: int = 500_000
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """X (n, d) and y (n,) float32 of a table that holds inputs and targets only."""
    table = table.dropna()
    if len(table) > max_rows:
        table = table.iloc[np.random.default_rng(12345).permutation(len(table))[:max_rows]]
    y = table[list(targets)].astype(float).median(axis=1).to_numpy()
    y = np.log(y) if log else y
    inputs = table.drop(columns=list(targets))
    inputs = inputs.loc[:, inputs.nunique() > 1]
    is_number = [pd.api.types.is_numeric_dtype(kind) for kind in inputs.dtypes]
    numbers = inputs.loc[:, is_number]
    words = inputs.loc[:, [not number for number in is_number]]
    blocks = [numbers.to_numpy(dtype=np.float32)]
    total = 0
    for name in words.nunique().sort_values(kind="stable").index:
        n_values = words[name].nunique()
        total += n_values
        if total > 300:
            break
        blocks.append(
            pd.get_dummies(words[name].astype(object), dummy_na=True, drop_first=n_values == 2).to_numpy(np.float32)
        )
    return np.hstack(blocks), ((y - y.mean()) / y.std()).astype(np.float32)

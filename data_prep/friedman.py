"""The generated data set `friedman`, which makes a first run possible without a download."""

from __future__ import annotations

import numpy as np
import pandas as pd


def friedman_frame(n_rows: int, seed: int) -> pd.DataFrame:
    """Draw from y = 10 sin(pi x1 x2) + 20 (x3 - 0.5)^2 + 10 x4 + 5 x5 + N(0, 1), x1..x10 uniform on [0, 1].

    Returns a frame (n_rows, 11) with columns X1..X10 and Y, as in the OpenML set `fried`.
    Source: Friedman, Multivariate adaptive regression splines, Annals of Statistics 19(1), 1991.
    """
    generator = np.random.default_rng(seed)
    x = generator.random((n_rows, 10))
    y = (
        10 * np.sin(np.pi * x[:, 0] * x[:, 1])
        + 20 * (x[:, 2] - 0.5) ** 2
        + 10 * x[:, 3]
        + 5 * x[:, 4]
        + generator.standard_normal(n_rows)
    )
    frame = pd.DataFrame(x, columns=[f"X{i}" for i in range(1, 11)])
    return frame.assign(Y=y)

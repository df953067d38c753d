"""How many labels a method saves, beside curves that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from results import ResultsError
from results.compose import compose_tables
from results.record import METRICS
from results.savings import Saving, savings

N = [64, 128, 192, 256]


def frame_of(curves: dict[str, list[float]], n_splits: int = 4, noise: float = 0.001) -> pd.DataFrame:
    """Records of methods whose log errors after each round are known, up to a little noise of the split."""
    rng = np.random.default_rng(0)
    rows = [
        {"experiment": "e", "task": "64x3", "method": m, "dataset": d, "split": s, "round": r, "n_train": n}
        | dict.fromkeys(METRICS, np.exp(value + shift + noise * rng.standard_normal()))
        | {"training": "t", "task_settings": "", "method_settings": "", "code_version": "c", "data_hash": "h"}
        | {"timed_alone": False, "kernel_seconds": 0.1, "selection_seconds": 0.1}
        for d, shift in (("a", 0.0), ("b", 1.0))
        for s in range(n_splits)
        for m, values in curves.items()
        for r, (n, value) in enumerate(zip(N, values, strict=True))
    ]
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("experiment", "task", "method", "dataset"), "category"))


CURVES = {
    "random": [0.0, -0.2, -0.3, -0.4],
    "lcmd-tp_grad_rp-512": [0.0, -0.3, -0.5, -0.6],
    "maxdiag_grad_rp-512": [0.0, -0.1, -0.1, -0.2],
    "fw-p_grad_rp-512": [0.0, -0.2, -0.3, -0.4],
}


def test_labels_needed_are_interpolated() -> None:
    found = {saving.method: saving for saving in savings(frame_of(CURVES, noise=0.0), "rmse", "random")}
    lcmd, maxdiag, fw = (found[m] for m in list(CURVES)[1:])
    assert next(iter(found)) == "lcmd-tp_grad_rp-512"
    assert lcmd.n_needed == pytest.approx(160)  # half way from -0.3 to -0.5
    assert lcmd.difference == pytest.approx(-0.2)
    assert lcmd.n_labels == 256
    assert maxdiag.n_needed is None
    assert maxdiag.difference == pytest.approx(0.2)
    assert fw.n_needed == pytest.approx(256)


def test_the_standard_error_is_that_of_paired_differences() -> None:
    frame = frame_of(CURVES, n_splits=6, noise=0.05)
    saving = savings(frame, "rmse", "random")[0]
    last = frame[frame["round"] == 3]
    last = np.log(last.pivot_table(index=["dataset", "split"], columns="method", values="rmse", observed=True))
    difference = last[saving.method] - last["random"]
    variances = [part.var(ddof=0) / 6 for _, part in difference.groupby(level="dataset", observed=True)]
    assert saving.stderr == pytest.approx(sum(variances) ** 0.5 / 2)


def test_words() -> None:
    """A gain, a loss, no difference beyond three standard errors, and a single split."""
    usual = Saving("lcmd-tp_grad_rp-512", "random", 448, -0.105, 0.01, 290.0, (280.0, 310.0), 5)
    assert usual.words("rmse") == (
        "With 448 labels LCMD-TP has an RMSE 10 % below that of random selection, "
        "log RMSE -0.105 ± 0.010 over 5 splits. "
        "LCMD-TP reaches the final error of random selection with about 290 labels, 35 % fewer "
        "(95 % interval over splits: 31 to 38 %)."
    )
    rarely = Saving("lcmd-tp_grad_rp-512", "random", 448, -0.105, 0.01, 440.0, (np.inf, np.inf), 5)
    assert rarely.words("rmse").endswith("2 % fewer (95 % interval over splits: none to none %).")
    worse = Saving("maxdiag_grad_rp-512", "random", 448, 0.2, 0.01, None, (np.inf, np.inf), 5)
    assert "MaxDiag has an RMSE 22 % above that of random selection" in worse.words("rmse")
    unsure = Saving("lcmd-tp_grad_rp-512", "random", 448, -0.02, 0.01, 400.0, (350.0, np.inf), 5)
    assert "LCMD-TP and random selection are within three standard errors" in unsure.words("rmse")
    single = Saving("lcmd-tp_grad_rp-512", "random", 448, -0.2, np.nan, 400.0, (np.nan, np.nan), 1)
    assert "one split is not enough" in single.words("rmse")


def test_the_table_says_what_was_seen() -> None:
    (table,) = compose_tables(frame_of(CURVES), "savings", "rmse", "random", all_methods=False)
    assert table.notes[-1].startswith("With 256 labels LCMD-TP has an RMSE 18 % below that of random selection")
    with pytest.raises(ResultsError, match="reference=random and another method must have run; there are: fw"):
        savings(frame_of({"fw-p_grad_rp-512": CURVES["random"]}), "rmse", "random")

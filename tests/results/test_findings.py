"""What the records show, in words, for records whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
from test_savings import CURVES, frame_of

from results.findings import findings
from results.savings import savings


def test_what_is_said() -> None:
    best, counts, next_best, numbers, not_run = findings(frame_of(CURVES))
    assert best.startswith("With 256 labels LCMD-TP has an RMSE 18 % below that of random selection")
    assert best.endswith("with about 160 labels, 37 % fewer (95 % interval over splits: 37 to 38 %).")
    assert "1 of 3 methods are better, 1 worse, and 1 within three standard errors of it." in counts
    assert next_best == "The next best, FrankWolfe-P, differs from the best by 0.200 in log error."
    assert (
        numbers
        == "The numbers themselves cannot be compared with the published ones: other models, published: networks."
    )
    assert not_run == "Of the published benchmark, 2 of 76 methods, 0 of 15 data sets and 4 of 20 splits have run."


def test_a_missing_reference_and_missing_runs_are_said() -> None:
    frame = frame_of(CURVES)
    without = frame[frame["method"] != "random"]
    assert findings(without)[0].startswith("Reference=random and another method must have run; there are: ")
    fewer = frame[~((frame["method"] == "random") & (frame["split"] == 3) & (frame["dataset"] == "b"))]
    assert findings(fewer)[-1].startswith("1 of the 32 runs of this grid are missing. Of the published benchmark, ")


def test_the_interval_widens_with_noise_and_needs_two_splits() -> None:
    def interval(noise: float, n_splits: int = 4) -> tuple[float, float]:
        found = savings(frame_of(CURVES, n_splits=n_splits, noise=noise), "rmse", "random")
        return found[0].needed_interval

    narrow, wide = interval(0.001), interval(0.03)
    assert 155 < narrow[0] <= narrow[1] < 165
    assert wide[1] - wide[0] > 4 * (narrow[1] - narrow[0])
    assert np.isnan(interval(0.001, n_splits=1)).all()
    said = " ".join(findings(frame_of(CURVES, n_splits=1)))
    assert "one split is not enough to judge the difference" in said
    assert "within three standard errors" not in said
    same = {"random": CURVES["random"], "fw-p_grad_rp-512": CURVES["random"]}
    (unsure,) = savings(frame_of(same, noise=0.02), "rmse", "random")
    assert unsure.needed_interval[1] == pytest.approx(np.inf)

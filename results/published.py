"""The published numbers: mean log metrics of 76 methods over 15 data sets, with standard errors.

Source: arXiv 2203.09410 and its data archive (DOI 10.18419/darus-3394), as printed by the original software.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from results.errors import ResultsError
from results.record import METRICS

PUBLISHED_TASK = "256x16"
# R^2 of the linear fit of the relative improvement of lcmd-tp_grad_rp-512 (Section 6); its coefficients were not
# published as numbers.
PUBLISHED_R2 = {"relu": 0.763, "silu": 0.788}
# The share of rounds in which grad_rp-512 has a larger effective dimension than ll, and the averages of both.
PUBLISHED_EFFECTIVE_DIMENSION = {"relu": (0.951, 5.47, 1.66), "silu": (0.897, 3.96, 2.34)}
# The data sets that the published numbers average over.
PUBLISHED_DATASETS = (
    "sgemm",
    "wec_sydney",
    "ct_slices",
    "kegg_undir",
    "online_video",
    "query",
    "poker",
    "road",
    "mlr_knn_rng",
    "fried",
    "diamonds",
    "methane",
    "stock",
    "protein",
    "sarcos",
)
_FOLDER = Path(__file__).parent / "published"


def load_published(name: str) -> pd.DataFrame:
    """Load the published summary of `relu` or `silu`: `method`, then `log_<metric>` and `log_<metric>_stderr`.

    Raises ResultsError for another name.
    """
    if name not in PUBLISHED_R2:
        raise ResultsError(f"no published numbers for {name!r}; there are: {', '.join(PUBLISHED_R2)}")
    table = pd.read_csv(_FOLDER / f"{name}_{PUBLISHED_TASK}.csv")
    table["method"] = table.pop("algorithm").str.removeprefix("NN_")
    columns = [f"log_{metric}{suffix}" for metric in METRICS for suffix in ("", "_stderr")]
    return table[["method", *columns]]


def published_counterpart(frame: pd.DataFrame) -> str:
    """Return the published experiment to compare the records with: `silu` for SiLU networks, otherwise `relu`."""
    return "silu" if frame["training"].astype(str).str.contains("activation=silu").any() else "relu"


def only_published(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep only the published data sets if all of them have run on the published task; otherwise keep all records."""
    published = frame[frame["dataset"].isin(PUBLISHED_DATASETS)]
    return frame if differs_from_published(published) else published


def differs_from_published(frame: pd.DataFrame) -> str:
    """Return why the mean over these records is not the quantity of the published mean; empty if it is."""
    if not frame["training"].astype(str).str.contains("activation=").all():
        return "other models, published: networks"
    tasks, datasets = sorted(frame["task"].unique()), set(frame["dataset"])
    if tasks != [PUBLISHED_TASK]:
        return f"task {', '.join(tasks)}, published: {PUBLISHED_TASK}"
    missing, others = set(PUBLISHED_DATASETS) - datasets, datasets - set(PUBLISHED_DATASETS)
    if missing:
        return f"{len(PUBLISHED_DATASETS) - len(missing)} of {len(PUBLISHED_DATASETS)} data sets"
    return f"data sets that were not published: {', '.join(sorted(others))}" if others else ""

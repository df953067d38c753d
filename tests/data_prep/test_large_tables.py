"""A table of methane's width is never held in memory as a whole.

By default two million rows of which 10,000 are kept, so that the table's size would show. BMDAL_TEST_LARGE_ROWS=31e6
is methane's own length, with the 500,000 rows that are kept in earnest.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workers import context, prepare_large

N_COLUMNS = 36
ROWS = os.environ.get("BMDAL_TEST_LARGE_ROWS")
GIB = 1 << 30


@pytest.fixture(scope="module", params=["one row group", "many row groups"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet, as OpenML serves methane; one single row group is the hardest to read in pieces."""
    n = int(float(ROWS or 2e6))
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    values = pa.array(np.random.default_rng(0).integers(0, 1000, n, dtype=np.int16).astype(np.float32) / 8)
    columns = [pa.concat_arrays([values[i:], values[:i]]) for i in range(N_COLUMNS)]
    groups = n if request.param == "one row group" else 1 << 17
    pq.write_table(pa.table(columns, names=[f"x{i}" for i in range(N_COLUMNS)]), path, row_group_size=groups)
    return path


def test_peak_memory(table: Path, tmp_path: Path) -> None:
    """Beyond what the imports take, much less than the table as float64; and 6 GiB in any case."""
    processes = context()
    results = processes.SimpleQueue()
    worker = processes.Process(target=prepare_large, args=(table, tmp_path, None if ROWS else 10_000, results))
    worker.start()
    before, peak, n_raw = results.get()
    worker.join()
    size = 8 * n_raw * N_COLUMNS
    print(f"{n_raw:,} rows, {size / GIB:.2f} GiB as float64: peak {peak / GIB:.2f} GiB, {before / GIB:.2f} before")
    assert n_raw == int(float(ROWS or 2e6))
    assert peak - before < 0.7 * size
    assert peak < 6 * GIB

"""Digits that float64 or float32 does not have: nothing in which the values of a column differ is lost unsaid."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_helpers import Notes

from data_prep import DataError, DataSet, PreparedData, prepare
from data_prep.catalog import load_dataset

N = 2000
NORMAL = np.random.default_rng(0).standard_normal(N)


def prepared(folder: Path, frame: pd.DataFrame, suffix: str = "csv", **fields: object) -> tuple[PreparedData, str]:
    """The set made from the frame, and all that was said."""
    path, notes = folder / f"own.{suffix}", Notes()
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    dataset = DataSet(**{"name": "own", "target": "y", "path": str(path), **fields})  # type: ignore[arg-type]
    return prepare(dataset, folder, overwrite=True, progress=notes), "\n".join(notes.texts)


def with_y(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns).assign(y=np.random.default_rng(1).random(N))


def raw_values(data: PreparedData, name: str) -> np.ndarray:
    """As docs/data.md says: X in float64 plus the centre in meta.json."""
    (column,) = [c for c in data.meta.columns if c.name == name]
    assert column.features is not None
    return data.X[:, column.features[0]].astype(np.float64) + (column.centre or 0.0)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("offset", "scale"),
    [(1.7e9, 1.0), (-5.4e6, 1e-2), (1.0, 1e-12), (1e12, 1.0), (1e39, 1e32), (1.7e12, 1e4), (3.0, 1e-5)],
)
def test_what_float32_would_lose_is_centred(offset: float, scale: float, suffix: str, tmp_path: Path) -> None:
    """Unix times, metres of a map, a constant with tiny noise, and what float32 does not reach without."""
    values = offset + scale * NORMAL
    data, said = prepared(tmp_path, with_y(t=values, a=NORMAL), suffix)
    centre = float(np.median(values))
    assert f"1 number, centred for float32: 't' (less {centre!r})" in said
    assert "warning" not in said
    np.testing.assert_allclose(raw_values(data, "t") - centre, values - centre, rtol=1e-6, atol=1e-12 * scale)
    assert len(np.unique(data.X[:, 0])) > 0.99 * len(np.unique(values))
    np.testing.assert_array_equal(data.X[:, 1], NORMAL.astype(np.float32))


@pytest.mark.parametrize(
    "values", [NORMAL, 1e30 * NORMAL, 1e-30 * NORMAL, 20 + NORMAL, np.arange(N), np.exp(20 * NORMAL)]
)
def test_other_columns_are_stored_as_they_are(values: np.ndarray, tmp_path: Path) -> None:
    data, said = prepared(tmp_path, with_y(t=values))
    assert "centred" not in said
    np.testing.assert_array_equal(data.X[:, 0], values.astype(np.float32))


def test_whole_seconds_with_a_zero_among_them(tmp_path: Path) -> None:
    """The one value far away must not hide that all others become equal."""
    values = 1_700_000_000 + np.random.default_rng(2).permutation(N)
    values[7] = 0
    data, said = prepared(tmp_path, with_y(t=values))
    assert "centred for float32: 't'" in said
    assert len(np.unique(data.X[:, 0])) == N
    np.testing.assert_allclose(raw_values(data, "t"), values, rtol=0, atol=64)  # float32's digits of the zero
    np.testing.assert_array_equal(np.delete(raw_values(data, "t"), 7), np.delete(values, 7))


def test_two_groups_that_no_centre_separates(tmp_path: Path) -> None:
    """Beside the distance of the groups their own spread is nothing, which is said."""
    values = np.where(np.arange(N) % 2, 1.7e9, -1.7e9) + NORMAL
    _, said = prepared(tmp_path, with_y(t=values))
    assert "warning: own: different values become equal in float32: 't' (2,000 become" in said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1e-50 * NORMAL, r"column 't': its values differ by less than float32 .*multiply .*drop: \['t'\]"),
        (5 + 1e300 * NORMAL, r"column 't' holds values that are infinite or beyond float32: 2,000 of 2,000.*`drop: "),
        (np.where(NORMAL > 2, np.inf, 1.7e9 + NORMAL), r"'t' holds values that are infinite .*, the first is inf"),
        (np.where(NORMAL > 2, 1e308, -1.7e308), "'t' holds values that are infinite or beyond float32: 2,000"),
    ],
)
def test_what_no_centre_can_keep_is_refused(values: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, with_y(t=values, a=NORMAL))


IDS = [2**53 + 1 + i for i in range(N)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("first", [2**53 + 1, 2**60, 2**63 + 5, -(2**62)])
def test_identifiers_of_64_bits_are_refused(first: int, suffix: str, tmp_path: Path) -> None:
    ids = np.arange(N, dtype=np.int64).astype(np.uint64) + np.uint64(first) if first > 0 else first + np.arange(N)
    frame = with_y(id=ids, a=NORMAL)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, frame, suffix)
    message = str(caught.value)
    assert "column 'id' holds numbers with more digits than float64 has" in message
    assert "of 2,000 different values" in message
    assert "`drop: ['id']`" in message
    assert "`categorical: ['id']`" in message
    assert prepared(tmp_path, frame, suffix, drop="id")[0].feature_names == ("a",)
    _, said = prepared(tmp_path, frame, suffix, categorical="id")
    assert "left out, too many values: 'id' (2,000 values)" in said


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_identifiers_of_64_bits_beside_missing_values(suffix: str, tmp_path: Path) -> None:
    """Which make pandas read the column as float64 to begin with."""
    frame = with_y(id=pd.array(IDS, dtype="Int64"), a=NORMAL)
    frame.loc[5, "id"] = pd.NA
    with pytest.raises(DataError, match=r"column 'id' holds numbers with more digits .* of 1,999 different values"):
        prepared(tmp_path, frame, suffix)


def test_few_identifiers_are_categories_to_the_last_digit(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        data, _ = prepared(tmp_path, with_y(id=np.resize(IDS[:3], N)), suffix, categorical="id")
        assert data.feature_names == (*(f"id={i}" for i in IDS[:3]), "id=missing")


def test_large_whole_numbers_that_stay_different_give_a_warning(tmp_path: Path) -> None:
    """As with times in nanoseconds: rounded by less than what they differ in. Multiples of 1024 are not rounded."""
    times = 1_700_000_000_000_000_001 + 10**9 * np.random.default_rng(0).permutation(N)
    _, said = prepared(tmp_path, with_y(t=times))
    assert "warning: own: whole numbers beyond 2^53, which are rounded: 't' (1700000000000000001 becomes" in said
    _, said = prepared(tmp_path, with_y(t=times // 1024 * 1024))
    assert "warning" not in said


@pytest.mark.parametrize("values", [1e20 * NORMAL, 1e16 + NORMAL, 1e15 + NORMAL])
def test_float64_in_the_file_is_read_as_it_is(values: np.ndarray, tmp_path: Path) -> None:
    """Large numbers in a file that float64 wrote have lost nothing on the way."""
    for suffix in ("csv", "parquet"):
        data, said = prepared(tmp_path, with_y(t=values), suffix)
        assert "warning" not in said
        np.testing.assert_allclose(raw_values(data, "t"), values, rtol=1e-7)


def test_decimals_with_more_digits(tmp_path: Path) -> None:
    numbers = [Decimal(10**16) + Decimal(i) / 1000 for i in range(N)]
    table = pa.table({"d": pa.array(numbers, pa.decimal128(22, 4)), "a": NORMAL, "y": NORMAL})
    pq.write_table(table, tmp_path / "own.parquet")
    with pytest.raises(DataError, match="column 'd' holds numbers with more digits than float64 has"):
        prepare(DataSet(name="own", target="y", path=str(tmp_path / "own.parquet")), tmp_path, progress=Notes())
    with pytest.raises(DataError, match="column 'd' holds numbers with more digits than float64 has"):
        prepared(tmp_path, with_y(d=numbers))


@pytest.mark.parametrize("offset", [1.7e9, -1e12, 1e15, 1e16])
def test_a_target_far_from_zero_loses_nothing(offset: float, tmp_path: Path) -> None:
    y = offset + 10 * NORMAL
    data, _ = prepared(tmp_path, pd.DataFrame({"a": NORMAL, "y": y}))
    near = y - offset  # exact
    np.testing.assert_allclose(data.y, (near - near.mean()) / near.std(), rtol=1e-6, atol=1e-6)
    assert data.meta.target_std == pytest.approx(near.std(), rel=1e-12)
    assert data.meta.target_mean == pytest.approx(offset + near.mean(), rel=1e-15)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (IDS, r"column 'y' holds numbers with more digits than float64 has: .*subtract a constant"),
        (np.full(N, 0.1), r"the target is constant \(0\.1\)"),
        (1e-200 * NORMAL, r"the target, from -.*, is too small or too large to be standardized"),
        (1e200 * NORMAL, r"the target, from -.*, is too small or too large to be standardized"),
        (np.where(NORMAL > 0, 1.7e308, -1.7e308), "is too small or too large to be standardized"),
    ],
)
def test_targets_that_cannot_be_kept(y: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        prepared(tmp_path, pd.DataFrame({"a": NORMAL, "y": y}))
    assert "drop" not in str(caught.value)


def test_published_sets_are_cast_as_in_the_original_and_that_is_said(tmp_path: Path) -> None:
    """No centre, whatever the cast loses: the arrays are those of the published runs."""
    folder = tmp_path / "raw/road"
    folder.mkdir(parents=True)
    rows = np.column_stack([np.arange(N), 1.7e9 + NORMAL, NORMAL, NORMAL])
    np.savetxt(folder / "3D_spatial_network.txt", rows, delimiter=",", fmt="%.17g")
    notes = Notes()
    data = prepare(load_dataset("road"), tmp_path, progress=notes)
    np.testing.assert_array_equal(data.X[:, 0], rows[:, 1].astype(np.float32))
    assert "different values become equal in float32: '1' (2,000 become 1)" in "\n".join(notes.texts)

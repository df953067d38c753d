"""The rules of preprocessing, one by one, on small tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import Silent
from plain import plain_preparation

from data_prep import DataError, DataSet, PreparedData, prepare, rows
from data_prep.tables import base


def own(path: Path, **fields: object) -> DataSet:
    return DataSet(**{"name": "own", "target": "y", "path": str(path), **fields})  # type: ignore[arg-type]


def prepared_csv(folder: Path, frame: pd.DataFrame, **fields: object) -> PreparedData:
    """The frame through a CSV file and the whole preparation."""
    path = folder / "own.csv"
    frame.to_csv(path, index=False)
    return prepare(own(path, **fields), folder, progress=Silent())


@pytest.fixture
def frame() -> pd.DataFrame:
    r = np.random.default_rng(0)
    return pd.DataFrame({"a": r.random(100), "b": r.integers(0, 5, 100), "y": r.random(100) + 1})


def test_target_is_standardized_over_all_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    prepared = prepared_csv(tmp_path, frame, log_target=True)
    y = np.log(frame["y"])
    assert prepared.y.mean() == pytest.approx(0, abs=1e-6)
    assert prepared.y.std() == pytest.approx(1, abs=1e-6)
    assert prepared.meta.target_mean == pytest.approx(y.mean())
    assert prepared.meta.target_std == pytest.approx(y.std(ddof=0))
    np.testing.assert_allclose(prepared.y * prepared.meta.target_std + prepared.meta.target_mean, y, atol=1e-6)


def test_median_of_several_targets(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame = frame.assign(y2=frame["y"] + 5, y3=frame["y"] - 5)
    prepared = prepared_csv(tmp_path, frame, target=["y", "y2", "y3"])
    assert prepared.meta.target_mean == pytest.approx(frame["y"].mean())
    assert prepared.feature_names == ("a", "b")


def test_rows_with_a_missing_value_are_dropped_and_dropped_columns_do_not_count(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    frame["word"] = "x"
    frame.loc[0, "word"] = "z"
    frame.loc[3, "a"], frame.loc[7, "y"], frame.loc[9, "word"] = np.nan, np.nan, None
    frame["empty"] = np.nan
    prepared = prepared_csv(tmp_path, frame, drop="empty")
    kept = frame.drop(index=[3, 7, 9])
    assert prepared.meta.n_raw_rows == 100
    np.testing.assert_array_equal(prepared.X[:, 0], kept["a"].to_numpy(np.float32))


def test_columns_that_become_constant_are_dropped_after_the_rows(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame["same"] = 1.0
    frame.loc[3, "same"], frame.loc[3, "a"] = 2.0, np.nan
    frame["word"] = "x"
    assert prepared_csv(tmp_path, frame).feature_names == ("a", "b")


def test_indicators(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Numbers first; then columns by their number of values; two values give one indicator; each gets a 'missing'."""
    frame.insert(0, "three", np.resize(["b", "c", "a"], 100))
    frame.insert(0, "two", np.resize(["no", "yes"], 100))
    prepared = prepared_csv(tmp_path, frame, categorical="b")
    assert prepared.feature_names == (
        *("a", "two=yes", "two=missing", "three=a", "three=b", "three=c", "three=missing"),
        *(f"b={i}" for i in range(5)),
        "b=missing",
    )
    np.testing.assert_array_equal(prepared.X[:, 1], frame["two"] == "yes")
    np.testing.assert_array_equal(prepared.X[:, 5], frame["three"] == "c")
    for j, name in enumerate(prepared.feature_names):
        if name.endswith("=missing"):
            assert not prepared.X[:, j].any()


def test_values_that_are_numbers_are_ordered_as_numbers(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame["c"] = np.resize([10, 9, 2, 1], 100)
    prepared = prepared_csv(tmp_path, frame, categorical="c")
    assert prepared.feature_names[2:6] == ("c=1", "c=2", "c=9", "c=10")


@pytest.mark.parametrize(
    ("sizes", "encoded"),
    [((150, 150), {150}), ((150, 151), {150}), ((100, 201), {100}), ((301,), set()), ((2, 298), {2, 298})],
)
def test_at_most_300_values_are_encoded(sizes: tuple[int, ...], encoded: set[int], tmp_path: Path) -> None:
    n = 604
    words = {f"w{i}": [f"v{j % size}" for j in range(n)] for i, size in enumerate(sizes)}
    frame = pd.DataFrame({"a": np.arange(n), **words, "y": np.arange(n)})
    prepared = prepared_csv(tmp_path, frame)
    found = {sizes[int(name[1 : name.index("=")])] for name in prepared.feature_names if "=" in name}
    assert found == encoded


def test_columns_of_equal_size_go_together(tmp_path: Path) -> None:
    """As in the published runs: of three columns with 120 values none is encoded, though two would fit."""
    frame = pd.DataFrame({f"w{i}": [f"v{j % 120}" for j in range(240)] for i in range(3)})
    prepared = prepared_csv(tmp_path, frame.assign(a=range(240), y=range(240)))
    assert prepared.feature_names == ("a",)


def test_more_rows_than_the_limit(tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first so many of default_rng(12345).permutation of the complete rows, in that order."""
    monkeypatch.setattr(rows, "MAX_ROWS", 60)
    frame.loc[[5, 50], "a"] = np.nan
    prepared = prepared_csv(tmp_path, frame)
    complete = frame.dropna().reset_index(drop=True)
    chosen = np.random.default_rng(12345).permutation(98)[:60]
    np.testing.assert_array_equal(prepared.X[:, 0], complete["a"].to_numpy(np.float32)[chosen])
    X, y = plain_preparation(frame, ("y",), max_rows=60)
    np.testing.assert_array_equal(prepared.X, X)
    np.testing.assert_allclose(prepared.y, y, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_reading_in_many_chunks_changes_nothing(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column whose first chunks hold only numbers, and words later, is one of words throughout."""
    r = np.random.default_rng(1)
    frame = pd.DataFrame({"a": r.random(5000), "c": r.integers(0, 4, 5000).astype(str), "y": r.random(5000)})
    frame.loc[4500:, "c"] = "late"
    frame.loc[r.choice(5000, 50, replace=False), "a"] = np.nan
    path = tmp_path / f"own.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path, row_group_size=1700)
    hashes = {}
    for chunk_bytes in (1 << 26, 1):
        monkeypatch.setattr(base, "_CHUNK_BYTES", chunk_bytes)
        hashes[chunk_bytes] = prepare(own(path), tmp_path / str(chunk_bytes), progress=Silent()).data_hash
    assert len(set(hashes.values())) == 1


@pytest.mark.parametrize(("n", "n_test"), [(100, 20), (249_999, 49_999), (250_000, 50_000), (500_000, 300_000)])
def test_test_size(n: int, n_test: int) -> None:
    from data_prep.store import n_test_of

    assert n_test_of(n) == n_test


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        ({"y": 1.0}, {}, "the target is constant"),
        ({"y": "word"}, {}, "target 'y' holds text"),
        ({"y": -1.0}, {"log_target": True}, "values <= 0"),
        ({"a": np.nan}, {}, "most are missing in 'a' (100)"),
        ({"b": np.inf}, {}, None),
        ({}, {"target": "z"}, "target='z' is not a column"),
        ({}, {"target": "Y"}, "is not a column of the table. Columns: a, b, y"),
        ({}, {"target": 3}, "target=3, but the table's columns are 0 to 2"),
        ({}, {"drop": "y"}, "`drop` names the target"),
        ({}, {"drop": ["a", "b"]}, "no input column is left"),
        ({"a": 1, "b": 2}, {}, "no input column is left after dropping constant columns"),
    ],
)
def test_what_cannot_be_prepared(
    change: dict[str, object], fields: dict[str, object], message: str | None, tmp_path: Path, frame: pd.DataFrame
) -> None:
    frame = frame.assign(**change)
    if message is None:
        frame.loc[0, "b"], message = 1.0, "column 'b' holds values that are infinite"
    with pytest.raises(DataError) as caught:
        prepared_csv(tmp_path, frame, **fields)
    assert message in str(caught.value)
    assert "data set own" in str(caught.value)
    assert not list((tmp_path / "prepared").glob("[!.]*"))


def test_whole_numbers_as_categories_with_missing_values_in_some_chunks(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing value must not turn the 3 of its chunk into another category than the 3 of the next."""
    monkeypatch.setattr(base, "_CHUNK_BYTES", 1)
    frame = pd.concat([frame] * 30, ignore_index=True)
    frame["c"] = pd.array(np.resize([1, 2, 3], len(frame)), dtype="Int64")
    frame.loc[5, "c"] = pd.NA
    names = set()
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"own.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
        prepared = prepare(own(path, categorical="c"), tmp_path / suffix, progress=Silent())
        assert prepared.meta.n == len(frame) - 1
        names.add(prepared.feature_names)
    assert names == {("a", "b", "c=1", "c=2", "c=3", "c=missing")}

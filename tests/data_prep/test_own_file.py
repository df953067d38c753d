"""A user's own CSV or parquet file as one more data set, by one small YAML."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import Silent
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from plain import plain_preparation

from data_prep import DataError, DataSet, prepare
from data_prep.catalog import CONF, load_dataset, names
from data_prep.status import status_of
from results.published import PUBLISHED_DATASETS

YAML = """\
_target_: data_prep.DataSet
name: houses
path: {path}
target: price
drop: [id]
log_target: true
categorical: [rooms]
"""


@pytest.fixture
def houses() -> pd.DataFrame:
    r = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": np.arange(3000),
            "town": r.choice(["Ulm", "Köln, alt", 'the "old" one'], 3000),
            "rooms": r.integers(1, 6, 3000),
            "area": r.uniform(20, 200, 3000),
            "price": r.lognormal(12, 1, 3000),
        }
    )


def configured(conf: Path, path: Path) -> DataSet:
    """What the benchmark gets with `dataset=houses`."""
    (conf / "dataset").mkdir(parents=True, exist_ok=True)
    (conf / "dataset" / "houses.yaml").write_text(YAML.format(path=path))
    assert names(conf) == ["houses"]
    return load_dataset("houses", conf)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "pq"])
def test_own_file(suffix: str, houses: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / f"houses.{suffix}"
    if suffix in ("csv", "tsv"):
        houses.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    else:
        houses.to_parquet(path)

    prepared = prepare(configured(tmp_path / "conf", path), tmp_path, progress=Silent())

    X, y = plain_preparation(houses.drop(columns="id").astype({"rooms": "category"}), ("price",), log=True)
    np.testing.assert_array_equal(prepared.X, X)
    np.testing.assert_allclose(prepared.y, y, rtol=1e-6, atol=1e-7)
    assert prepared.feature_names[:2] == ("area", "town=Köln, alt")


def test_status_looks_for_the_file(houses: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    dataset = configured(tmp_path / "conf", path)
    assert f"path='{path}' is not a file (seen from" in status_of(dataset, tmp_path).remark
    houses.to_csv(path, index=False)
    assert status_of(dataset, tmp_path).remark == f"not prepared; file {path} is there"


def test_rows_that_are_left_out_are_reported(
    houses: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, and in which columns a value is missing, the target first."""
    houses.loc[:9, "price"] = np.nan
    houses.loc[5:49, "area"] = np.nan
    houses.to_csv(tmp_path / "houses.csv", index=False)
    dataset = configured(tmp_path / "conf", tmp_path / "houses.csv")
    assert prepare(dataset, tmp_path).meta.n == 2950
    assert (
        "warning: houses: 50 of 3,000 rows are left out because values are missing: target 'price' (10), 'area' (45)\n"
        in capsys.readouterr().err
    )


def test_a_changed_file_is_prepared_anew(houses: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    houses.to_csv(path, index=False)
    dataset = configured(tmp_path / "conf", path)
    first = prepare(dataset, tmp_path, progress=Silent())
    changed = houses.assign(area=houses["area"] + 1)
    changed.to_csv(path, index=False)
    os.utime(path)
    second = prepare(dataset, tmp_path, progress=Silent())
    assert second.data_hash != first.data_hash
    text = path.read_text()
    older = tmp_path / "older.csv"
    older.write_text(text.replace("1", "2", 1) if text.count("1") else text)
    os.utime(older, (1e9, 1e9))
    older.replace(path)  # as long, and older than what was prepared
    assert prepare(dataset, tmp_path, progress=Silent()).meta.raw != second.meta.raw
    path.write_text(text)
    assert prepare(dataset, tmp_path, progress=Silent()).data_hash == second.data_hash
    path.unlink()
    assert prepare(dataset, tmp_path, progress=Silent()).data_hash == second.data_hash


def test_parquet_with_an_index_and_a_date(
    houses: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The index that pandas stores is no column, and this is said; a date is refused with what to do."""
    path = tmp_path / "houses.parquet"
    houses.set_index(houses["id"] * 2, drop=False).rename_axis("row").to_parquet(path)
    dataset = configured(tmp_path / "conf", path)
    assert prepare(dataset, tmp_path).meta.n == 3000
    said = "warning: houses: row, the index of the frame in houses.parquet, is not used; call reset_index() before"
    assert said in capsys.readouterr().err
    houses.set_index("id", drop=False).to_parquet(path)
    assert prepare(dataset, tmp_path, overwrite=True).meta.n == 3000
    assert "the index of the frame" not in capsys.readouterr().err
    houses.assign(sold=pd.Timestamp("2026-01-01")).to_parquet(path)
    with pytest.raises(DataError, match=r"column 'sold' holds timestamp.* `drop`"):
        prepare(dataset, tmp_path, overwrite=True, progress=Silent())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,town,rooms,area,price\n1,a,2,3.5,9\n2,b,3,4.5,9,7\n", "Expected 5 fields in line 3, saw 6"),
        ("id;town;rooms;area;price\n1;a;2;3.5;9\n", "target='price' is not a column"),
        ("", "not a table of separated values"),
        ("id,town,rooms,area,price\n", "no row without a missing value"),
    ],
)
def test_files_of_another_layout(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        prepare(configured(tmp_path / "conf", path), tmp_path, progress=Silent())


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    path.write_bytes(b"id,town,rooms,area,price\n1,K\xf6ln,2,3.5,9\n")
    with pytest.raises(DataError, match=r"houses\.csv: not in UTF-8 .*; convert it"):
        prepare(configured(tmp_path / "conf", path), tmp_path, progress=Silent())


@pytest.mark.parametrize("name", ["houses.xlsx", "missing.csv"])
def test_no_such_file_or_format(name: str, tmp_path: Path) -> None:
    (tmp_path / "houses.xlsx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"must end in \.csv|is not a file"):
        prepare(configured(tmp_path / "conf", tmp_path / name), tmp_path, progress=Silent())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("targt: price", "targt"),
        ("name: other", "its name is 'other'; write `name: houses`"),
        ("source: {_target_: data_prep.OpenML, id: 3}", "either `path` .* or `source`"),
        ("_target_: data_prep.OpenML", "houses.yaml"),
        ("target: []", "`target` names no column"),
        ("target: ${nowhere}", "nowhere"),
        ("target: [", "houses.yaml"),
    ],
)
def test_a_wrong_yaml_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    kept = [old for old in YAML.format(path="x.csv").splitlines() if old.split(":")[0] != line.split(":")[0]]
    (tmp_path / "dataset/houses.yaml").write_text("\n".join([*kept, line]))
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("houses", tmp_path)
    assert "houses.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["friedman", *PUBLISHED_DATASETS])
def test_each_description_composes_as_in_the_benchmark(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        dataset = instantiate(compose(overrides=[f"+dataset={name}"]).dataset)
    assert isinstance(dataset, DataSet)
    assert dataset == load_dataset(name)
    assert dataset.name == name
    assert dataset.expected is not None
    assert dataset.licence
    assert dataset.citation
    hash(dataset)

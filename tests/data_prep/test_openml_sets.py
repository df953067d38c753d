"""OpenML sets: in both formats through a local server, against openml-python, and from a cache."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import Silent, copy_tree
from local_server import LocalServer, ok, stalled, status, truncated
from openml_files import as_arff, as_parquet, description, table
from plain import plain_preparation

import data_prep
from data_prep import DataError, DataSet, OpenML, prepare
from data_prep.catalog import load_dataset
from data_prep.transfer import Patience

UNKNOWN = b"""<oml:error xmlns:oml="http://openml.org/openml">
  <oml:code>111</oml:code><oml:message>Unknown dataset</oml:message></oml:error>"""
NAMES = ["mlr_knn_rng", "fried", "diamonds", "methane", "stock", "protein"]


def served_by(server: LocalServer, name: str, frame: pd.DataFrame, parquet: bool, extra: str = "") -> DataSet:
    """The set `name` with `frame` as its rows on the local server."""
    dataset = load_dataset(name)
    assert isinstance(dataset.source, OpenML)
    id, arff = dataset.source.id, as_arff(frame)
    arff_address = server.add(f"/data/v1/download/{id}/small.arff", ok(arff))
    pq_address = server.add(f"/datasets/dataset_{id}.pq", ok(as_parquet(frame))) if parquet else None
    server.add(f"/api/v1/xml/data/{id}", ok(description(id, arff, arff_address, pq_address, extra)))
    source = replace(dataset.source, servers=(f"{server.address}/api/v1/xml",), mirrors=(), bundled=None)
    return replace(dataset, source=source, expected=None, data_hash=None)


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_give_the_same(name: str, server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    frame = table(name)
    arrays = {}
    for parquet in (False, True):
        dataset = served_by(server, name, frame, parquet)
        data = tmp_path / str(parquet)
        prepared = prepare(dataset, data, progress=Silent(), patience=impatient)
        assert prepared.meta.raw is not None
        assert prepared.meta.raw.name.endswith(".pq" if parquet else ".arff")
        arrays[parquet] = prepared
    assert arrays[False].data_hash == arrays[True].data_hash
    assert arrays[False].feature_names == arrays[True].feature_names

    X, y = plain_preparation(frame.drop(columns=list(load_dataset(name).drop)), load_dataset(name).target)
    np.testing.assert_allclose(arrays[True].y, y, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(np.sort(arrays[True].X, axis=1), np.sort(X, axis=1))


def test_methane_counts_as_published(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """Its 36 columns without target and the two other meters make the 33 features of the published task."""
    prepared = prepare(
        served_by(server, "methane", table("methane"), True), tmp_path, progress=Silent(), patience=impatient
    )
    assert prepared.meta.d == 33


def test_parquet_fails_and_arff_serves(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    dataset = served_by(server, "fried", table("fried"), parquet=True)
    server.add("/datasets/dataset_564.pq", truncated(as_parquet(table("fried"))))
    prepared = prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    assert prepared.meta.raw is not None
    assert prepared.meta.raw.name == "dataset.arff"


def test_mirror_serves_when_the_interface_is_down(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    server.add("/api/v1/xml/data/564", status(503, b"<html>maintenance</html>"))
    mirror = server.add("/mirror/dataset_564.pq", ok(as_parquet(table("fried"))))
    dataset = replace(dataset, source=replace(dataset.source, mirrors=(mirror,)))
    prepared = prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    assert prepared.meta.raw is not None
    assert prepared.meta.raw.address == mirror


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(503, b"<html>maintenance</html>"), "answers 503"),
        (stalled(b"x" * 1000), "does not answer in time"),
        (ok(b"<html>maintenance</html>"), "not OpenML's description of data set 564"),
        (ok(b"no xml"), "syntax error"),
        (ok(description(565, b"", "x", None)), "describes '565'"),
        (status(412, UNKNOWN), r"412 .*Unknown dataset"),
    ],
    ids=["503", "stall", "web page", "garbage", "another set", "error of OpenML"],
)
def test_a_bad_server_gives_one_clear_error(
    answer: object, reason: str, server: LocalServer, impatient: Patience, tmp_path: Path
) -> None:
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    server.add("/api/v1/xml/data/564", answer)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=reason) as caught:
        prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    assert "put it into" in str(caught.value)
    assert "KeyError" not in str(caught.value)


def test_an_overloaded_interface_is_asked_again(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    arff = as_arff(table("fried"))
    described = description(564, arff, f"{server.address}/data/v1/download/564/small.arff", None)
    server.add("/api/v1/xml/data/564", status(503), truncated(described), ok(described))
    assert prepare(dataset, tmp_path, progress=Silent(), patience=impatient).meta.n == len(table("fried"))
    assert server.log.count("/api/v1/xml/data/564") == 3


def test_a_broken_openml_python_is_named(
    server: LocalServer, impatient: Patience, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirrors serve without it."""
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    server.add("/api/v1/xml/data/564", status(503))
    monkeypatch.setitem(sys.modules, "openml", None)
    with pytest.raises(DataError, match=r"openml-python does not start \(ModuleNotFoundError.*put it into"):
        prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    mirror = server.add("/mirror/dataset_564.pq", ok(as_parquet(table("fried"))))
    dataset = replace(dataset, source=replace(dataset.source, mirrors=(mirror,)))
    assert prepare(dataset, tmp_path, progress=Silent(), patience=impatient).meta.n == len(table("fried"))


def test_arff_with_the_wrong_md5_is_refused(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    server.add("/data/v1/download/564/small.arff", ok(as_arff(table("stock"))))
    with pytest.raises(DataError, match="md5"):
        prepare(dataset, tmp_path, progress=Silent(), patience=impatient)


def test_columns_that_openml_calls_no_inputs_are_left_out(
    server: LocalServer, impatient: Patience, tmp_path: Path
) -> None:
    extra = "<oml:row_id_attribute>X1</oml:row_id_attribute><oml:ignore_attribute>X2,X3</oml:ignore_attribute>"
    dataset = served_by(server, "fried", table("fried"), parquet=True, extra=extra)
    prepared = prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    assert prepared.feature_names == tuple(f"X{i}" for i in range(4, 11))

    asked = list(server.log)
    again = prepare(dataset, tmp_path, overwrite=True, progress=Silent(), patience=impatient)
    assert again.feature_names == prepared.feature_names
    assert server.log == asked  # the description lies beside the file


@pytest.mark.parametrize("name", ["fried", "diamonds"])
def test_equals_openml_python_on_the_real_sets(
    name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is read as openml-python reads it, and left as it was; openml-python works on a copy."""
    openml = pytest.importorskip("openml")
    dataset = load_dataset(name)
    assert isinstance(dataset.source, OpenML)
    bundled = None if dataset.source.bundled is None else prepare(dataset, tmp_path / "bundled", progress=Silent())
    dataset = replace(dataset, source=replace(dataset.source, bundled=None))
    assert isinstance(dataset.source, OpenML)
    cache = tmp_path / "cache"
    copy_tree(shared / "data" / "openml_cache", cache)
    before = sorted(cache.rglob("*"))
    monkeypatch.setenv("OPENML_CACHE_DIR", str(cache))

    prepared = prepare(dataset, tmp_path / "data", progress=Silent())

    assert sorted(cache.rglob("*")) == before
    openml.config.set_root_cache_directory(cache)
    frame, *_ = openml.datasets.get_dataset(
        dataset.source.id, download_data=True, download_qualities=False, download_features_meta_data=False
    ).get_data()
    X, y = plain_preparation(frame, dataset.target)
    np.testing.assert_array_equal(prepared.X, X)
    np.testing.assert_allclose(prepared.y, y, rtol=1e-6, atol=1e-7)
    assert prepared.meta.counts == dataset.expected
    if bundled is not None:  # the same arrays, from the file that comes with the project
        assert bundled.data_hash == prepared.data_hash
        np.testing.assert_array_equal(bundled.X, prepared.X)
        np.testing.assert_array_equal(bundled.y, prepared.y)


def test_diamonds_come_with_the_project(tmp_path: Path) -> None:
    """Whole, with their source and hash, and without a network or a cache."""
    folder = Path(data_prep.__file__).parent / "bundled"
    sha256 = hashlib.sha256((folder / "diamonds.pq").read_bytes()).hexdigest()
    assert f"sha256: `{sha256}`" in (folder / "README.md").read_text()
    dataset = load_dataset("diamonds")
    prepared = prepare(dataset, tmp_path, progress=Silent())
    assert prepared.meta.counts == dataset.expected
    assert prepared.meta.raw is not None
    assert prepared.meta.raw.sha256 == sha256
    assert len(prepared.y) == 53_940


def cached(root: Path, described: bytes, arff: bytes | None = None) -> Path:
    """The folder of fried in a cache, as openml-python would have left it."""
    folder = root / "org/openml/www/datasets/564"
    folder.mkdir(parents=True)
    (folder / "description.xml").write_bytes(described)
    if arff is not None:
        (folder / "dataset.arff").write_bytes(arff)
    return folder


def test_a_damaged_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by its md5, stays as it is, and nothing of it is copied."""
    arff = as_arff(table("fried"))
    folder = cached(tmp_path / "cache", description(564, arff, "http://127.0.0.1:1/x", None), arff[:-500])
    monkeypatch.setenv("OPENML_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"cache.*dataset\.arff: its md5 is"):
        prepare(load_dataset("fried"), tmp_path / "data", progress=Silent())
    assert (folder / "dataset.arff").read_bytes() == arff[:-500]
    assert not (tmp_path / "data" / "raw" / "fried").exists()


def test_offline_a_cached_description_without_data_stays(
    tmp_path: Path, impatient: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openml-python would delete the folder."""
    described = description(564, b"", "http://127.0.0.1:1/x.arff", "http://127.0.0.1:1/x.pq")
    folder = cached(tmp_path / "cache", described)
    monkeypatch.setenv("OPENML_CACHE_DIR", str(tmp_path / "cache"))
    dataset = load_dataset("fried")
    dataset = replace(dataset, source=replace(dataset.source, mirrors=()))
    with pytest.raises(DataError, match=r"127\.0\.0\.1:1/x.pq: no connection.*put it into"):
        prepare(dataset, tmp_path / "data", progress=Silent(), patience=impatient)
    assert [path.read_bytes() for path in folder.iterdir()] == [described]


@pytest.mark.parametrize("described", [b"no xml", description(565, b"", "x", None)], ids=["garbage", "another set"])
def test_a_damaged_description_is_named(
    described: bytes, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the cache and beside a file put there by hand; no server is asked, and nothing is lost."""
    dataset = served_by(server, "fried", table("fried"), parquet=False)
    folder = cached(tmp_path / "cache", described, as_arff(table("fried")))
    monkeypatch.setenv("OPENML_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"cache.*description\.xml: not OpenML's description of data set 564"):
        prepare(load_dataset("fried"), tmp_path / "data", progress=Silent())
    by_hand = tmp_path / "data/raw/fried"
    copy_tree(folder, by_hand)
    with pytest.raises(DataError, match=r"raw.fried.description\.xml: not OpenML's description of data set 564"):
        prepare(dataset, tmp_path / "data", progress=Silent())
    assert (folder / "description.xml").read_bytes() == (by_hand / "description.xml").read_bytes() == described
    assert server.log == []

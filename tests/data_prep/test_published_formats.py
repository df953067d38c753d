"""Each set in its published layout, fetched from a web server and compared with plain pandas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Silent
from local_server import LocalServer, ok, status
from plain import plain_preparation
from published import N, sarcos, uci

from data_prep import DataError, DataSet, Download, prepare
from data_prep.catalog import load_dataset
from data_prep.transfer import Patience

UCI = ["sgemm", "wec_sydney", "ct_slices", "kegg_undir", "online_video", "query", "poker", "road"]


def served_by(server: LocalServer, dataset: DataSet) -> DataSet:
    """The set with its addresses moved to the local server; the small files have no published hash."""
    source = dataset.source
    assert isinstance(source, Download)
    paths = [address.partition("://")[2].partition("/")[2] for address in source.addresses]
    moved = tuple(f"{server.address}/{path}" for path in paths)
    return replace(dataset, source=replace(source, addresses=moved, content_hash=None), expected=None, data_hash=None)


@pytest.mark.parametrize("name", UCI)
@pytest.mark.parametrize("archived", [True, False], ids=["static-zip", "plain-file"])
def test_uci_set(name: str, archived: bool, server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """The new static address gives an archive; where that is dead, an older one gives an archive or the bare table."""
    published = uci(name)
    dataset = served_by(server, load_dataset(name))
    assert isinstance(dataset.source, Download)
    addresses = dataset.source.addresses
    if archived:
        server.add(addresses[0].removeprefix(server.address), ok(published.zip()))
    else:
        old = next(address for address in addresses if "/ml/" in address)
        table = published.files[dataset.source.member]
        server.add(old.removeprefix(server.address), ok(published.zip() if old.endswith(".zip") else table))

    prepared = prepare(dataset, tmp_path, progress=Silent(), patience=impatient)

    X, y = plain_preparation(published.read(), published.targets, log=published.log)
    np.testing.assert_array_equal(prepared.X, X)
    np.testing.assert_allclose(prepared.y, y, rtol=1e-6, atol=1e-7)
    expected = load_dataset(name).expected
    assert expected is not None
    assert prepared.meta.d == expected.features
    assert prepared.meta.n_raw_rows == N
    assert prepared.n_test == int(0.2 * len(y))
    assert len(prepared.feature_names) == prepared.meta.d


def test_sarcos(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """The first address does not know the file, the second gives it; the six other torques are no inputs."""
    content, frame = sarcos()
    dataset = served_by(server, load_dataset("sarcos"))
    assert isinstance(dataset.source, Download)
    server.add("/gpml/data/sarcos_inv.mat", status(404), ok(content))

    prepared = prepare(dataset, tmp_path, progress=Silent(), patience=impatient)

    X, y = plain_preparation(frame, (21,))
    np.testing.assert_array_equal(prepared.X, X)
    np.testing.assert_allclose(prepared.y, y, rtol=1e-6, atol=1e-7)
    assert prepared.meta.d == 21


@pytest.mark.parametrize("name", ["sgemm", "sarcos"])
def test_another_content_than_the_published_is_refused(
    name: str, server: LocalServer, impatient: Patience, tmp_path: Path
) -> None:
    """The hashes in the descriptions are held: the small files are not the published ones."""
    dataset = served_by(server, load_dataset(name))
    published = load_dataset(name).source
    assert isinstance(published, Download)
    assert isinstance(dataset.source, Download)
    dataset = replace(dataset, source=replace(dataset.source, content_hash=published.content_hash))
    content = sarcos()[0] if name == "sarcos" else uci(name).zip()
    server.add(dataset.source.addresses[0].removeprefix(server.address), ok(content))

    with pytest.raises(DataError, match="is known to be right"):
        prepare(dataset, tmp_path, progress=Silent(), patience=impatient)
    assert not (tmp_path / "prepared" / name).exists()
    assert not list((tmp_path / "raw" / name).iterdir())

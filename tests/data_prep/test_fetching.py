"""Servers that misbehave, and files that lie there already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Notes, Silent
from local_server import Answer, LocalServer, ok, redirect, stalled, status, truncated
from published import N, uci

from data_prep import DataError, DataSet, Download, prepare
from data_prep.hashing import sha256_of_files
from data_prep.transfer import Patience

GOOD = uci("road").zip()
OTHER = uci("query").zip()


def road(*addresses: str, content_hash: str | None = None) -> DataSet:
    """The set `road` at these addresses."""
    source = Download(addresses, "3D_spatial_network.txt", content_hash)
    return DataSet(name="road", target=(3,), drop=(0,), header=False, source=source)


@pytest.mark.parametrize(
    ("answers", "n_requests"),
    [
        ([ok(GOOD)], 1),
        ([status(503), ok(GOOD)], 2),
        ([stalled(GOOD), ok(GOOD)], 2),
        ([truncated(GOOD), ok(GOOD)], 2),
        ([status(429), status(500), ok(GOOD)], 3),
    ],
    ids=["200", "503 then 200", "stall then 200", "truncated then 200", "twice bad then 200"],
)
def test_one_address(
    answers: list[Answer], n_requests: int, server: LocalServer, impatient: Patience, tmp_path: Path
) -> None:
    address = server.add("/a/road.zip", *answers)
    prepared = prepare(road(address), tmp_path, progress=Silent(), patience=impatient)
    assert len(server.log) == n_requests
    assert prepared.meta.raw is not None
    assert prepared.meta.raw.address == address
    assert (tmp_path / "raw/road/road.zip").read_bytes() == GOOD
    assert sorted(p.name for p in (tmp_path / "raw/road").iterdir()) == ["road.zip", "road.zip.sha256"]


@pytest.mark.parametrize(
    "first",
    [
        status(404),
        status(403),
        ok(b"<!DOCTYPE html><html>This site has moved</html>"),
        ok(OTHER),
        ok(GOOD[:-100]),
        redirect("/gone"),
    ],
    ids=["404", "403", "web page", "other archive", "cut archive", "redirect to nothing"],
)
def test_the_mirror_serves(first: Answer, server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """What another try cannot mend is not tried again."""
    addresses = server.add("/a/road.zip", first), server.add("/b/road.zip", ok(GOOD))
    notes = Notes()
    prepared = prepare(road(*addresses), tmp_path, progress=notes, patience=impatient)
    assert prepared.meta.raw is not None
    assert prepared.meta.raw.address == addresses[1]
    assert [path for path in server.log if path != "/gone"] == ["/a/road.zip", "/b/road.zip"]
    assert any(addresses[0] in text for text in notes.texts)


def test_a_redirect_is_followed(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    server.add("/new/place.zip", ok(GOOD))
    address = server.add("/a/road.zip", redirect("/new/place.zip"))
    prepare(road(address), tmp_path, progress=Silent(), patience=impatient)
    assert (tmp_path / "raw/road/road.zip").read_bytes() == GOOD


def test_a_wrong_hash_is_refused(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    address = server.add("/a/road.zip", ok(GOOD))
    with pytest.raises(DataError, match="its sha256 hash is"):
        prepare(road(address, content_hash="sha256:" + "0" * 64), tmp_path, progress=Silent(), patience=impatient)
    assert list((tmp_path / "raw/road").iterdir()) == []
    assert not (tmp_path / "prepared/road").exists()


@pytest.mark.parametrize(
    ("answer", "reason", "n_requests"),
    [(stalled(GOOD), "in time", 3), (status(503), "503", 3), (status(404), "404", 1)],
    ids=["stall", "503", "404"],
)
def test_all_fail(
    answer: Answer, reason: str, n_requests: int, server: LocalServer, impatient: Patience, tmp_path: Path
) -> None:
    """One error, which says what to put where; the number of tries is bounded."""
    address = server.add("/a/3d+road%20network.zip", answer)
    with pytest.raises(DataError, match=reason) as caught:
        prepare(road(address), tmp_path, progress=Silent(), patience=impatient)
    assert f"put it into {tmp_path / 'raw/road'} as 3d_road_network.zip" in str(caught.value)
    assert len(server.log) == n_requests
    assert list((tmp_path / "raw/road").iterdir()) == []


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a network nothing is waited for: the default patience would wait ten seconds between rounds."""
    with pytest.raises(DataError, match="no connection"):
        prepare(road("http://127.0.0.1:1/road.zip"), tmp_path, progress=Silent())


@pytest.mark.parametrize("file_name", ["3d_road.zip", "3d+road.zip", "3d road.zip", "3D_spatial_network.txt"])
def test_a_file_put_there_by_hand_needs_no_network(file_name: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw/road"
    folder.mkdir(parents=True)
    content = GOOD if file_name.endswith(".zip") else uci("road").files["3D_spatial_network.txt"]
    (folder / file_name).write_bytes(content)
    prepared = prepare(road("http://127.0.0.1:1/3d+road.zip"), tmp_path, progress=Silent())
    assert prepared.meta.raw is not None
    assert (prepared.meta.raw.name, prepared.meta.raw.address) == (file_name, None)


@pytest.mark.parametrize(
    "damaged",
    [GOOD[:-100], b"", GOOD[:5000] + bytes([GOOD[5000] ^ 255]) + GOOD[5001:]],
    ids=["cut", "empty", "one byte"],
)
def test_a_damaged_file_put_there_by_hand_is_named_and_kept(
    damaged: bytes, server: LocalServer, tmp_path: Path
) -> None:
    folder = tmp_path / "raw/road"
    folder.mkdir(parents=True)
    (folder / "road.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=r"road\.zip.*: damaged .* Remove the file"):
        prepare(road(server.add("/a/road.zip", ok(GOOD))), tmp_path, progress=Silent())
    assert [path.name for path in folder.iterdir()] == ["road.zip"]
    assert (folder / "road.zip").read_bytes() == damaged
    assert server.log == []


def test_the_first_hash_is_held(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """Another content under the same name is refused later on, although nothing was known of it at first."""
    address = server.add("/a/road.zip", ok(GOOD))
    first = prepare(road(address), tmp_path, progress=Silent(), patience=impatient)
    path = tmp_path / "raw/road/road.zip"
    assert (tmp_path / "raw/road/road.zip.sha256").read_text().split() == [sha256_of_files(path), "road.zip"]

    again = prepare(road(address), tmp_path, overwrite=True, progress=Silent(), patience=impatient)
    assert again.data_hash == first.data_hash
    assert len(server.log) == 1

    changed = replace(uci("road"), files={"3D_spatial_network.txt": b"1,2.0,3.0,4.0\n2,3.0,1.0,2.0\n"})
    path.write_bytes(changed.zip())
    with pytest.raises(DataError, match=r"road\.zip\.sha256 says .* remove the file"):
        prepare(road(address), tmp_path, overwrite=True, progress=Silent(), patience=impatient)
    np.testing.assert_array_equal(prepare(road(address), tmp_path, progress=Silent()).X, first.X)

    path.unlink()  # as the message says; what comes now is held to the first hash, too
    server.add("/a/road.zip", ok(changed.zip()))
    mirror = server.add("/b/road.zip", ok(GOOD))
    with pytest.raises(DataError, match=r"road\.zip\.sha256 says"):
        prepare(road(address), tmp_path, overwrite=True, progress=Silent(), patience=impatient)
    third = prepare(road(address, mirror), tmp_path, overwrite=True, progress=Silent(), patience=impatient)
    assert third.data_hash == first.data_hash


def test_a_file_that_cannot_be_read_is_not_held(server: LocalServer, impatient: Patience, tmp_path: Path) -> None:
    """It is not even put in place, so that the right file is not refused later."""
    good = uci("road").files["3D_spatial_network.txt"]
    address = server.add("/3D_spatial_network.txt", ok(b"1,2,3,4\n5,6,7,8,9\n"), ok(good))
    with pytest.raises(DataError, match=r"3D_spatial_network\.txt: not a table of the expected layout"):
        prepare(road(address), tmp_path, progress=Silent(), patience=impatient)
    assert list((tmp_path / "raw/road").iterdir()) == []
    assert prepare(road(address), tmp_path, progress=Silent(), patience=impatient).meta.n_raw_rows == N

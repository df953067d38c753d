"""Archives that mean harm are refused, and nothing is unpacked anywhere."""

from __future__ import annotations

import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from data_prep import DataError
from data_prep import archive as archives
from data_prep.archive import zip_member

TABLE = b"1,2\n3,4\n"


def make(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """An archive with the table and further entries."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of duplicate names
        for entry, content in (("folder/table.csv", TABLE), *entries):
            archive.writestr(entry, content)
    return path


def link(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (mode | 0o777) << 16
    return entry


@pytest.mark.parametrize("wanted", ["folder/table.csv", "table.csv", "Elsewhere/Table.csv"])
def test_a_member_is_found_by_path_or_by_file_name(wanted: str, tmp_path: Path) -> None:
    blob = zip_member(make(tmp_path / "a.zip", ("readme.txt", b"...")), wanted)
    with blob.open() as stream:
        assert stream.read() == TABLE
    assert blob.size == len(TABLE)


@pytest.mark.parametrize(
    "name", ["../outside.csv", "/etc/outside.csv", "a/../../outside.csv", "..\\outside.csv", "C:\\x"]
)
def test_members_that_lead_outside(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads outside"):
        zip_member(make(tmp_path / "a.zip", (name, b"x")), "table.csv")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO], ids=["link", "device", "pipe"])
def test_links_and_devices(mode: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="link or a device"):
        zip_member(make(tmp_path / "a.zip", (link("harmless.csv", mode), b"/etc/passwd")), "table.csv")


def test_a_bomb_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="archive bomb"):
        zip_member(make(tmp_path / "a.zip", ("zeros.csv", bytes(20 << 20))), "table.csv")


def test_a_bomb_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DataError, match="unpacks to more than 100 bytes"):
        zip_member(make(tmp_path / "a.zip", ("more.csv", b"0123456789" * 10)), "table.csv")


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1  # the flag "encrypted" in the central directory
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        zip_member(path, "table.csv")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    """The directory says 3 bytes; what is read never exceeds that, and the checksum tells."""
    path = make(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (3).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(zipfile.BadZipFile), zip_member(path, "table.csv").open() as stream:
        stream.read()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no member 'other.csv' .* folder/table.csv"),
        ([("a/other.csv", b""), ("b/other.csv", b"")], "2 members called"),
    ],
)
def test_no_such_member(entries: list[tuple[str, bytes]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        zip_member(make(tmp_path / "a.zip", *entries), "other.csv")


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="damaged zip archive"):
        zip_member(tmp_path / "a.zip", "table.csv")

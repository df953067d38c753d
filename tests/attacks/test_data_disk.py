"""Disks that fill up at every page and every file: one error that names the folder, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_attacks import QUICK, SMALL, csv, leftovers, openml_set, same, small_disk, table_set, zipped
from data_helpers import Silent
from local_server import LocalServer, ok

from data_prep import DataError, DataSet, prepare

pytestmark = pytest.mark.attacks

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4096
RAW = ("table.zip", "dataset.arff", "description.xml")  # they may stay once they have proved right


def check(dataset: DataSet, data: Path, filler: Path | None) -> None:
    """Preparing fails by name and leaves nothing; with the filler gone, it succeeds."""
    before = sorted(path.name for path in data.rglob("*"))
    with pytest.raises(
        DataError, match=r"the disk is full, there is no room for ([\d,]+ bytes|one more file)"
    ) as caught:
        prepare(dataset, data, progress=Silent(), patience=QUICK)
    assert str(data) in str(caught.value)
    assert "fetched" not in str(caught.value)  # it is not the server's fault
    assert leftovers(data) == []
    new = {path.name for path in data.rglob("*") if path.is_file()} - set(before)
    assert new <= {f".{dataset.name}.lock", *RAW, *(f"{name}.sha256" for name in RAW)}
    assert not (data / "prepared" / dataset.name).exists()
    if filler is not None:
        filler.unlink()
        assert prepare(dataset, data, progress=Silent(), patience=QUICK).meta.name == dataset.name
        assert leftovers(data) == []


@pytest.mark.parametrize("n_pages", range(4))
def test_generated(n_pages: int, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", f"size={16 * PAGE}") as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes((16 - n_pages) * PAGE))
        check(SMALL, disk, filler)


@pytest.mark.parametrize("n_pages", range(17))
def test_downloaded(n_pages: int, tmp_path: Path) -> None:
    """While the file comes, while it is put in place, and while the arrays are written."""
    with LocalServer() as server, small_disk(tmp_path / "disk", f"size={64 * PAGE}") as disk:
        mirror = server.add("/mirror/table.zip", ok(zipped(csv())))
        dataset = table_set(server.add("/table.zip", ok(zipped(csv()))), mirror)
        filler = disk / "filler"
        filler.write_bytes(bytes((64 - n_pages) * PAGE))
        check(dataset, disk, filler)
        assert server.log in (["/table.zip"] * 2, ["/table.zip"])  # a full disk is no reason to ask another address


@pytest.mark.parametrize("n_pages", range(12))
def test_from_openml(n_pages: int, tmp_path: Path) -> None:
    with LocalServer() as server, small_disk(tmp_path / "disk", f"size={64 * PAGE}") as disk:
        dataset = openml_set(server, parquet=False)
        filler = disk / "filler"
        filler.write_bytes(bytes((64 - n_pages) * PAGE))
        check(dataset, disk, filler)


@pytest.mark.parametrize("n_inodes", range(2, 8))
def test_no_inodes_for_one_more_file(n_inodes: int, tmp_path: Path) -> None:
    """Folder, lock, aside, X.npy, y.npy and meta.json fail one after the other."""
    with small_disk(tmp_path / "disk", f"size=1m,nr_inodes={n_inodes}") as disk:
        if n_inodes == 7:
            assert prepare(SMALL, disk, progress=Silent()).meta.n == 200
        else:
            check(SMALL, disk, None)


@pytest.mark.parametrize("n_inodes", range(9, 14))
def test_no_inodes_for_the_raw_file_and_its_hash(n_inodes: int, tmp_path: Path) -> None:
    with LocalServer() as server, small_disk(tmp_path / "disk", f"size=1m,nr_inodes={n_inodes - 5}") as disk:
        check(table_set(server.add("/table.zip", ok(zipped(csv())))), disk, None)


def test_the_set_that_is_there_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", f"size={16 * PAGE}") as disk:
        before = prepare(SMALL, disk, progress=Silent())
        filler = disk / "filler"
        filler.write_bytes(bytes(os.statvfs(disk).f_bavail * PAGE))
        with pytest.raises(DataError, match="the disk is full"):
            prepare(SMALL, disk, overwrite=True, progress=Silent())
        assert same(prepare(SMALL, disk, progress=Silent()), before)


@pytest.mark.parametrize("set_name", ["friedman", "diamonds"])
def test_as_a_command(set_name: str, tmp_path: Path) -> None:
    """On 300 kB: exit status 2, and one line that says how many bytes are needed."""
    with small_disk(tmp_path / "disk", "size=300k") as disk:
        command = [sys.executable, "-m", "data_prep", f"dataset={set_name}", f"paths.data={disk}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert str(disk) in line
        assert "bytes; free some" in line
        assert leftovers(disk) == []


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """As by a quota, or by a file system that knows no large files."""
    code = (
        "import resource, signal; from pathlib import Path; from data_prep.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"raise SystemExit(main(['dataset=friedman', 'paths.data={tmp_path}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, "no room for 1,793,792 bytes" in done.stderr) == (2, True)
    assert leftovers(tmp_path) == []

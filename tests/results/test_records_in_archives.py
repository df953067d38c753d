"""Records in a zip archive: read like those in a folder, from the archive as it is."""

import zipfile
from pathlib import Path

import pytest

from results import RecordError, ResultsError, load_records
from results.__main__ import main
from results.load import CACHE_NAME
from tests.results.conftest import METHODS

Capture = pytest.CaptureFixture[str]
NAME = "mini/fried/256x3/random/split-0.json"


def packed(runs: Path, file: Path, *, below: str = "", **changed: bytes) -> Path:
    """An archive of a folder of runs, with other contents of NAME or further files."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(runs.rglob("*.json")):
            name = str(path.relative_to(runs))
            archive.writestr(
                below + name, changed.pop("record", path.read_bytes()) if name == NAME else path.read_bytes()
            )
        for name, content in changed.items():
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize("below", ["", "old/runs/"])
def test_archive_gives_the_rows_of_its_folder(runs: Path, tmp_path: Path, below: str) -> None:
    file = packed(runs, tmp_path / "runs.zip", below=below, **{"notes.txt": b"no record", "old/": b""})
    before = set(tmp_path.iterdir())
    assert load_records(file).equals(load_records(runs))
    assert set(tmp_path.iterdir()) == before  # no cache beside it
    assert (runs / CACHE_NAME).exists()


def test_table_of_an_archive(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={packed(runs, tmp_path / 'runs.zip')}", "table=methods"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{method} " in shown for method in METHODS)


def test_damaged_record_is_named_within_the_archive(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    file = packed(runs, tmp_path / "runs.zip", record=b"{")
    assert main([f"paths.runs={file}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {file}/{NAME}: ")
    skipped: list[RecordError] = []
    assert len(load_records(file, skipped=skipped)) == len(load_records(runs)) - 4
    assert len(skipped) == 1


def test_record_of_another_run_is_refused(runs: Path, tmp_path: Path) -> None:
    other = (runs / NAME).with_name("split-1.json").read_bytes()
    file = packed(runs, tmp_path / "runs.zip", record=other)
    with pytest.raises(RecordError, match=r"split-0\.json: holds the record that belongs to .*split-1\.json"):
        load_records(file)


@pytest.mark.parametrize("name", ["/etc/runs.json", "../mini/split-0.json", "a/../../b", "..\\b"])
def test_names_that_lead_out_are_refused(runs: Path, tmp_path: Path, name: str) -> None:
    file = packed(runs, tmp_path / "runs.zip", **{name: b""})
    with pytest.raises(ResultsError, match=r"runs\.zip: the name .* leads out of the archive"):
        load_records(file)


def test_name_that_occurs_twice(runs: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = packed(runs, tmp_path / "runs.zip", **{NAME: b"{}"})
    with pytest.raises(ResultsError, match=r"random/split-0\.json' is in the archive twice"):
        load_records(file)


def test_what_is_no_archive_or_is_damaged(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    file = packed(runs, tmp_path / "runs.zip")
    whole = file.read_bytes()
    middle = whole.index(NAME.encode()) + len(NAME) + 50
    file.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
    with pytest.raises(ResultsError, match=r"runs\.zip: damaged or unreadable archive: "):
        load_records(file)
    for content in (b"", b"not a zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        assert main([f"paths.runs={file}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {file} is neither a folder nor a zip archive of run records: ")
        assert len(error.splitlines()) == 1


def test_encrypted_archive_is_refused(runs: Path, tmp_path: Path) -> None:
    """The flag of encryption alone, in both headers of a file."""
    file = packed(runs, tmp_path / "runs.zip")
    content = bytearray(file.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)
    with pytest.raises(ResultsError, match="encrypted"):
        load_records(file)


def test_archive_without_records(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "runs.zip", "w") as archive:
        archive.writestr("notes.txt", "")
    with pytest.raises(ResultsError, match="no complete run records under"):
        load_records(tmp_path / "runs.zip")

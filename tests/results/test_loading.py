"""load_records: one tidy row per round, damaged records, and a cache that follows the files."""

import dataclasses
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from results import RecordError, ResultsError, load_records, read_record, write_record
from results.load import CACHE_NAME
from results.record import METRICS, partial_path, record_path
from tests.results.synthetic import make_record, pack

RUN = ("mini", "fried", "256x3", "random", 0)


def test_one_row_per_round_with_all_values(runs: Path) -> None:
    frame = load_records(runs)
    assert len(frame) == 4 * 4 * 3 * 4
    rows = frame[(frame["dataset"] == "fried") & (frame["method"] == "lcmd-tp_ll") & (frame["split"] == 2)]
    record = read_record(record_path(runs, "mini", "fried", "256x3", "lcmd-tp_ll", 2))
    assert list(rows["round"]) == [0, 1, 2, 3]
    for row, measured in zip(rows.itertuples(), record.rounds, strict=True):
        for name in ("n_train", *METRICS, "train_seconds"):
            assert getattr(row, name) == getattr(measured, name)
    assert rows["kernel_seconds"].isna().tolist() == [False, False, False, True]
    assert (rows["effective_dimension"].iloc[:3] == [r.effective_dimension for r in record.rounds[:3]]).all()
    assert set(rows["device"]) == {"cpu"}
    assert set(rows["training"]) == {"activation=relu"}


def test_indices_may_be_left_out_of_reading(tmp_path: Path) -> None:
    record = make_record(*RUN, with_indices=True)
    path = record_path(tmp_path, *RUN)
    write_record(record, path)
    assert read_record(path) == record
    without = read_record(path, with_indices=False)
    assert not any(r.indices for r in without.rounds)
    assert [r.rmse for r in without.rounds] == [r.rmse for r in record.rounds]


def test_cached_rows_equal_fresh_ones(runs: Path) -> None:
    fresh = load_records(runs)
    assert (runs / CACHE_NAME).exists()
    assert load_records(runs).equals(fresh)


def test_cache_follows_new_changed_and_removed_records(runs: Path) -> None:
    load_records(runs)
    path = record_path(runs, *RUN)
    record = read_record(path)
    changed = dataclasses.replace(record, rounds=tuple(dataclasses.replace(r, rmse=7.0) for r in record.rounds))
    write_record(changed, path)
    record_path(runs, "mini", "stock", "256x3", "random", 1).unlink()
    write_record(make_record("mini", "fried", "256x3", "random", 3), record_path(runs, *RUN[:4], 3))
    frame = load_records(runs)
    assert len(frame) == 4 * 4 * 3 * 4
    ours = frame[(frame["dataset"] == "fried") & (frame["method"] == "random")]
    assert set(ours["split"]) == {0, 1, 2, 3}
    assert set(ours[ours["split"] == 0]["rmse"]) == {7.0}
    assert not ((frame["dataset"] == "stock") & (frame["method"] == "random") & (frame["split"] == 1)).any()


def test_unchanged_records_come_from_the_cache(runs: Path) -> None:
    load_records(runs)
    table = pq.read_table(runs / CACHE_NAME)
    place = table.schema.get_field_index("rmse")
    pq.write_table(table.set_column(place, "rmse", table["mae"]), runs / CACHE_NAME)
    frame = load_records(runs)
    assert (frame["rmse"] == frame["mae"]).all()


def test_a_copy_of_an_experiment_is_refused(runs: Path) -> None:
    """It would count twice."""
    shutil.copytree(runs / "mini", runs / "old" / "mini")
    first, copy = (f"{place}mini/diamonds/256x3/lcmd-tp_grad_rp-512/split-0.json" for place in ("", "old/"))
    for _ in range(2):  # from the files, and from the cache
        with pytest.raises(ResultsError, match=f"{first} and {copy} in .* are records of the same run: move one"):
            load_records(runs)
    archive = pack(runs, runs.parent / "all.zip")
    with pytest.raises(ResultsError, match="are records of the same run: move one"):
        load_records(archive)
    shutil.rmtree(runs / "old")
    assert len(load_records(runs)) == 4 * 4 * 3 * 4


@pytest.mark.parametrize("content", [b"", b"PAR1 not a table", b"\x00" * 100])
def test_damaged_cache_is_rebuilt(runs: Path, content: bytes) -> None:
    fresh = load_records(runs)
    (runs / CACHE_NAME).write_bytes(content)
    assert load_records(runs).equals(fresh)
    assert pq.read_table(runs / CACHE_NAME).num_rows == len(fresh)


def test_cache_of_another_layout_is_rebuilt(runs: Path) -> None:
    fresh = load_records(runs)
    pq.write_table(pq.read_table(runs / CACHE_NAME).drop_columns("rmse"), runs / CACHE_NAME)
    assert load_records(runs).equals(fresh)


def test_damaged_records_are_named_together(runs: Path) -> None:
    bad = [record_path(runs, *RUN[:4], split) for split in (0, 1)]
    bad[0].write_text(bad[0].read_text()[:200])
    bad[1].write_text(bad[1].read_text().replace('"rmse"', '"rsme"', 1))
    with pytest.raises(RecordError) as raised:
        load_records(runs)
    assert all(str(path) in str(raised.value) for path in bad)
    assert "2 damaged" in str(raised.value)
    skipped: list[RecordError] = []
    frame = load_records(runs, skipped=skipped)
    assert len(skipped) == 2
    assert len(frame) == (4 * 4 * 3 - 2) * 4
    with pytest.raises(RecordError):  # the cache does not hide them
        load_records(runs)


def test_record_in_a_foreign_place_is_refused(runs: Path) -> None:
    path = record_path(runs, *RUN)
    path.rename(path.with_name("split-17.json"))
    with pytest.raises(RecordError, match=r"split-17\.json: holds the record that belongs to .*split-0\.json"):
        load_records(runs)


def test_partial_and_foreign_files_are_no_records(runs: Path) -> None:
    whole = make_record("mini", "fried", "256x3", "random", 5)
    partial = dataclasses.replace(whole, rounds=whole.rounds[:2], complete=False)
    path = record_path(runs, *RUN[:4], 5)
    write_record(partial, partial_path(path))
    path.with_name("split-6.failed.json").write_text("{}")
    path.with_name(".split-6.json.1.tmp").write_text("{")
    path.with_name("notes.txt").write_text("")
    assert set(load_records(runs)["split"]) == {0, 1, 2}


def test_missing_folder_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no folder"):
        load_records(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match="no complete run records"):
        load_records(tmp_path)


def test_record_of_another_format_version(runs: Path) -> None:
    path = record_path(runs, *RUN)
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "format_version": 99}))
    with pytest.raises(RecordError, match="record format 99"):
        load_records(runs)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", r"rounds\[1\]\.rmse should be a finite number, got nan"),
        ("1e999", r"rounds\[1\]\.rmse should be a finite number, got inf"),
        ('"0.5"', r"rounds\[1\]\.rmse should be a valid number, got '0\.5'"),
        ("0.0", r"rounds\[1\]\.rmse should be greater than 0, got 0\.0"),
        ("-1.0", r"rounds\[1\]\.rmse should be greater than 0, got -1\.0; move the file away"),
        ("null", r"rounds\[1\]\.rmse should be a valid number, got None"),
    ],
)
def test_values_that_nothing_can_be_computed_from(runs: Path, value: str, reason: str) -> None:
    path = record_path(runs, *RUN)
    raw = json.loads(path.read_text())
    raw["rounds"][1]["rmse"] = "here"
    path.write_text(json.dumps(raw).replace('"here"', value))
    with pytest.raises(RecordError, match=reason) as raised:
        load_records(runs)
    assert str(path) in str(raised.value)

"""Means and standard errors by the protocol, against naive computations and known means; the common part."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from results import ResultsError, load_records, write_record
from results.aggregate import (
    common_part,
    common_part_by_dataset,
    learning_curves,
    run_values,
    selection_seconds,
    summarize,
)
from results.compose import compose_tables, coverage
from results.published import PUBLISHED_DATASETS, load_published
from results.record import METRICS, read_record, record_path
from results.render import to_text
from tests.results.conftest import DATASETS, METHODS
from tests.results.synthetic import SPLIT_SD, known_log, make_record, write_grid


def test_summary_equals_the_formula_written_out(runs: Path) -> None:
    summary = summarize(load_records(runs)).set_index("method")
    for method in METHODS:
        for metric in METRICS:
            means, variances = [], []
            for dataset in DATASETS:
                values = []
                for split in range(3):
                    record = read_record(record_path(runs, "mini", dataset, "256x3", method, split))
                    values.append(np.mean([np.log(getattr(r, metric)) for r in record.rounds[1:]]))
                means.append(np.mean(values))
                variances.append(np.mean((np.array(values) - np.mean(values)) ** 2))
            assert summary.at[method, f"log_{metric}"] == pytest.approx(np.mean(means), rel=1e-12)
            stderr = np.sqrt(sum(v / 3 for v in variances)) / len(DATASETS)
            assert summary.at[method, f"log_{metric}_stderr"] == pytest.approx(stderr, rel=1e-9)


def test_final_values_and_values_without_logarithm(runs: Path) -> None:
    frame = load_records(runs)
    record = read_record(record_path(runs, "mini", "fried", "256x3", "random", 1))
    rounds = [r.mae for r in record.rounds[1:]]
    expected = {
        (False, True): np.mean(np.log(rounds)),
        (False, False): np.mean(rounds),
        (True, True): np.log(rounds[-1]),
        (True, False): rounds[-1],
    }
    for (final, log), value in expected.items():
        values = run_values(frame, metrics=["mae"], final=final, log=log)
        run = values[(values["dataset"] == "fried") & (values["method"] == "random") & (values["split"] == 1)]
        assert run["mae"].item() == pytest.approx(value, rel=1e-12)


def test_known_means_are_recovered_on_the_whole_method_list(tmp_path: Path) -> None:
    methods = list(load_published("relu")["method"])
    n_splits, n_rounds = 4, 2
    write_grid(tmp_path, "relu", PUBLISHED_DATASETS, f"256x{n_rounds}", methods, range(n_splits))
    summary = summarize(load_records(tmp_path)).set_index("method")
    assert set(summary.index) == set(methods)
    expected_stderr = SPLIT_SD * np.sqrt((n_splits - 1) / n_splits) / np.sqrt(n_splits * len(PUBLISHED_DATASETS))
    true_stderr = SPLIT_SD / np.sqrt(n_splits * len(PUBLISHED_DATASETS))
    n_trains = [256 * (1 + r) for r in range(1, n_rounds + 1)]
    deviations = []
    for method in methods:
        known = np.mean([[known_log(d, method, "rmse", n) for n in n_trains] for d in PUBLISHED_DATASETS])
        deviations.append((summary.at[method, "log_rmse"] - known) / true_stderr)
    # 76 independent standard normal numbers; the bounds are those of one in 10,000 repetitions.
    assert np.max(np.abs(deviations)) < 4.9
    assert abs(np.mean(deviations)) < 3.9 / np.sqrt(len(methods))
    assert 0.69 < np.std(deviations) < 1.32
    assert summary["log_rmse_stderr"].mean() == pytest.approx(expected_stderr, rel=0.08)


def test_learning_curve_of_one_method(runs: Path) -> None:
    frame = load_records(runs)
    curve = learning_curves(frame, "q95")
    ours = curve[curve["method"] == "lcmd-tp_ll"]
    assert ours["n_train"].tolist() == [256, 512, 768, 1024]
    at_512 = frame[(frame["method"] == "lcmd-tp_ll") & (frame["n_train"] == 512)]
    expected = np.log(at_512["q95"]).groupby(at_512["dataset"], observed=True).mean().mean()
    assert ours["log"].iloc[1] == pytest.approx(expected, rel=1e-12)


def test_one_split_has_no_standard_error(tmp_path: Path) -> None:
    """Not 0.000, which would say that splits do not differ."""
    write_grid(tmp_path, "relu", ["fried"], "256x2", ["random"], [0, 1])
    write_grid(tmp_path, "relu", ["sgemm"], "256x2", ["random"], [0])
    frame = load_records(tmp_path)
    assert np.isnan(summarize(frame)["log_rmse_stderr"].item())
    assert "no standard errors" in coverage(common_part(frame))[1]
    (table,) = compose_tables(frame, "methods", "rmse", "random", all_methods=False)
    assert "±" not in to_text(table)
    fried = frame[frame["dataset"] == "fried"]
    assert summarize(fried)["log_rmse_stderr"].item() > 0
    assert len(coverage(common_part(fried))) == 1


def test_seconds_are_those_of_runs_timed_alone(tmp_path: Path) -> None:
    write_grid(tmp_path, "relu", ["fried"], "256x2", ["random"], [8, 9])
    path = record_path(tmp_path, "relu", "fried", "256x2", "random", 8)
    path.write_text(path.read_text().replace('"kernel_seconds": 0.', '"kernel_seconds": 1000.'))
    timed = read_record(record_path(tmp_path, "relu", "fried", "256x2", "random", 9)).rounds[0]
    seconds = selection_seconds(load_records(tmp_path))["seconds"].item()
    assert seconds == pytest.approx((timed.kernel_seconds or 0) + (timed.selection_seconds or 0))


def test_incomplete_grid_is_averaged_over_the_common_part_and_says_what_is_missing(runs: Path) -> None:
    record_path(runs, "mini", "sgemm", "256x3", "random", 1).unlink()
    for split in range(3):
        record_path(runs, "mini", "stock", "256x3", "lcmd-tp_ll", split).unlink()
    common = common_part(load_records(runs))
    cells = set(map(tuple, common.frame[["dataset", "split"]].drop_duplicates().to_numpy().tolist()))
    assert cells == {(d, s) for d in DATASETS for s in range(3)} - {("sgemm", 1)} - {("stock", s) for s in range(3)}
    assert common.notes == (
        "lcmd-tp_ll lacks 3 of 12 runs: stock (splits 0-2)",
        "random lacks 1 of 12 runs: sgemm (splits 1)",
        "to run what is missing: python -m benchmark -m experiment.name=mini task.batch_size=256 task.n_rounds=3 "
        "dataset=sgemm,stock method=lcmd-tp_ll,random 'splits=[0,1,2]', plus any other options of the existing runs",
        "averaged over the common part only: diamonds (3 splits), fried (3 splits), sgemm (2 splits)",
    )
    assert set(summarize(common.frame)["n_datasets"]) == {3}


def test_each_data_set_by_itself_has_all_that_its_methods_share(runs: Path) -> None:
    record_path(runs, "mini", "sgemm", "256x3", "random", 1).unlink()
    for split in range(3):
        record_path(runs, "mini", "stock", "256x3", "lcmd-tp_ll", split).unlink()
    frame = load_records(runs)
    common = common_part_by_dataset(frame)
    without = {("sgemm", m, 1) for m in METHODS} | {("stock", "lcmd-tp_ll", s) for s in range(3)}
    kept = set(map(tuple, common.frame[["dataset", "method", "split"]].drop_duplicates().to_numpy().tolist()))
    assert kept == {(d, m, s) for d in DATASETS for m in METHODS for s in range(3)} - without
    assert common.notes[:3] == common_part(frame).notes[:3]
    assert common.notes[3:] == (
        "averaged over the common part only: diamonds (3 splits), fried (3 splits), sgemm (2 splits), stock (3 splits)",
    )
    table = compose_tables(frame, "per_dataset", "rmse", "random", all_methods=False)[0]
    assert [row[0].text for row in table.rows] == sorted(DATASETS)
    place = [name for name, _ in table.columns].index("lcmd-tp_ll")
    assert [row[place].text == "–" for row in table.rows] == [False, False, False, True]


def test_method_that_shares_no_split_is_left_out_on_that_data_set_only(runs: Path) -> None:
    for split in (0, 1):
        record_path(runs, "mini", "sgemm", "256x3", "random", split).unlink()
    for split in (1, 2):
        record_path(runs, "mini", "sgemm", "256x3", "lcmd-tp_ll", split).unlink()
    common = common_part_by_dataset(load_records(runs))
    assert "sgemm: lcmd-tp_ll is left out: too few of its runs are shared with the others" in common.notes
    there = common.frame[["dataset", "method"]].drop_duplicates()
    assert set(there.loc[there["dataset"] == "sgemm", "method"]) == {*METHODS} - {"lcmd-tp_ll"}
    assert (there["method"] == "lcmd-tp_ll").sum() == len(DATASETS) - 1


def test_one_command_for_each_experiment_and_task_that_lacks_runs(tmp_path: Path) -> None:
    write_grid(tmp_path, "relu", ["fried", "stock"], "256x2", ["lcmd-tp_ll", "fw-p_ll_train"], range(2))
    write_grid(tmp_path, "batch_sizes", ["fried", "stock"], "512x1", ["lcmd-tp_ll"], range(2))
    write_grid(tmp_path, "batch_sizes", ["fried"], "128x4", ["lcmd-tp_ll"], range(2))
    write_grid(tmp_path, "batch_sizes", ["stock"], "128x4", ["lcmd-tp_ll"], [0])
    record_path(tmp_path, "relu", "fried", "256x2", "fw-p_ll_train", 0).unlink()
    notes = common_part(load_records(tmp_path), columns=["method", "task"]).notes
    assert [note.partition(" -m ")[2].rpartition(",")[0] for note in notes if note.startswith("to run")] == [
        "benchmark -m experiment.name=batch_sizes task.batch_size=128 task.n_rounds=4 "
        "dataset=stock method=lcmd-tp_ll 'splits=[1]'",
        "benchmark -m experiment.name=relu task.batch_size=256 task.n_rounds=2 "
        "dataset=fried method=fw-p_ll_train 'splits=[0]'",
    ]


def test_method_without_anything_in_common_is_left_out(runs: Path) -> None:
    write_record(
        make_record("mini", "query", "256x3", "bait-f-p_ll_train", 0),
        record_path(runs, "mini", "query", "256x3", "bait-f-p_ll_train", 0),
    )
    common = common_part(load_records(runs))
    assert set(common.frame["method"]) == set(METHODS)
    assert any("bait-f-p_ll_train is left out" in note for note in common.notes)


def test_complete_grid_has_no_notes(runs: Path) -> None:
    frame = load_records(runs)
    common = common_part(frame)
    assert common.notes == ()
    assert common.frame.equals(frame)


def test_runs_of_different_length_are_not_averaged(runs: Path) -> None:
    frame = load_records(runs)
    end = frame.eval("dataset == 'fried' and method == 'random' and split == 0 and round == 3")
    with pytest.raises(ResultsError, match=r"1 with 2 rounds \(such as random\); 47 with 3 rounds"):
        common_part(frame[~end])


def test_runs_that_start_with_different_numbers_of_labels(runs: Path) -> None:
    """Between data sets they are not averaged, between methods not compared."""
    for method in ("random", "lcmd-tp_ll"):
        for split in range(3):
            path = record_path(runs, "mini", "fried", "256x3", method, split)
            record = read_record(path)
            rounds = tuple(dataclasses.replace(r, n_train=r.n_train + 100) for r in record.rounds)
            write_record(dataclasses.replace(record, rounds=rounds), path)
    frame = load_records(runs)
    several = r"start with different numbers of labels: .*256 \(.*356 \(|start with .*356 \(.*256 \("
    with pytest.raises(ResultsError, match=several):
        common_part(frame)
    with pytest.raises(ResultsError, match=several):
        common_part_by_dataset(frame)
    two = frame[frame["method"].isin(["random", "lcmd-tp_ll"])]
    with pytest.raises(ResultsError, match=several):
        common_part(two)
    assert len(common_part_by_dataset(two).frame) == len(two)


def test_runs_of_different_training_are_named(runs: Path) -> None:
    path = record_path(runs, "mini", "fried", "256x3", "random", 0)
    write_record(dataclasses.replace(read_record(path), config={"training": {"n_epochs": 8}}), path)
    notes = coverage(common_part(load_records(runs)))
    assert notes[1:] == ("runs of different training are averaged together: activation=relu; n_epochs=8",)


def test_runs_of_different_code_and_data_are_named(runs: Path) -> None:
    for split, changes in enumerate(
        ({"code_version": "0.1.0+3a991df4f9c9.dirty"}, {"data_hash": "3a991df4" + 56 * "f"})
    ):
        path = record_path(runs, "mini", "fried", "256x3", "random", split)
        record = read_record(path)
        write_record(dataclasses.replace(record, provenance=dataclasses.replace(record.provenance, **changes)), path)
    notes = coverage(common_part(load_records(runs)))
    assert notes[1:] == (
        "runs of 2 versions of the code are averaged together: 0.1.0+3a991df4.dirty, synthetic",
        "runs on different preparations of fried are averaged together: hashes 00000000, 3a991df4",
    )

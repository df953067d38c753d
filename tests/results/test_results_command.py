"""`python -m results` from the user's side."""

import csv
import subprocess
from pathlib import Path

import pytest
from warm_python import warm_python

from results.__main__ import main
from results.record import record_path

Capture = pytest.CaptureFixture[str]


def test_prints_the_table_of_methods(runs: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}"]) == 0
    shown = capsys.readouterr().out
    assert "lcmd-tp_grad_rp-512" in shown
    assert "data sets: diamonds, fried, sgemm, stock (4 of the 15 published); splits of each: 3" in shown


def test_runs_as_a_module_and_leaves_nothing_behind(runs: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [warm_python(), "-m", "results", "dataset=fried,sgemm", "method=[random,lcmd-tp_ll]"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "BMDAL_RUNS": str(runs)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data sets: fried, sgemm" in done.stdout
    assert "maxdist" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex", ".txt"])
def test_writes_a_file_in_the_format_of_its_suffix(runs: Path, tmp_path: Path, capsys: Capture, suffix: str) -> None:
    file = tmp_path / "deep" / f"table{suffix}"
    assert main([f"paths.runs={runs}", f"output={file}"]) == 0
    assert str(file) in capsys.readouterr().out
    start = {".csv": "method,log_mae,", ".md": "**Mean", ".tex": "% data sets", ".txt": "Mean log"}[suffix]
    assert file.read_text().startswith(start)


def test_writes_all_tables_into_a_folder(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}", "table=all", "format=csv", f"output={tmp_path / 'tables'}", "metric=q95"]) == 0
    names = {path.stem for path in (tmp_path / "tables").iterdir()}
    assert {f"mini_256x3_{name}" for name in ("methods", "literature", "paired_q95", "ranks_q95", "wins_q95")} <= names
    assert {"mini_256x3_per_dataset_q95_nolog_final", "prediction", "published_silu_methods", "datasets"} <= names
    with (tmp_path / "tables" / "datasets.csv").open() as file:
        counts = {row["dataset"]: row for row in csv.DictReader(file)}
    assert (counts["sgemm"]["pool"], counts["sgemm"]["test"], counts["sgemm"]["features"]) == ("192000", "48320", "14")


def test_tables_without_records(tmp_path: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={tmp_path / 'nowhere'}", "table=published", "format=markdown"]) == 0
    assert "**-1.589 ± 0.002**" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel=methods"], "unknown option 'tabel'. Did you mean 'table'? Valid: experiment, dataset"),
        (["table=method"], "unknown table 'method'. Did you mean 'methods'? Valid: methods, literature"),
        (["metric=mse"], "unknown metric 'mse'. Did you mean 'rmse'? Valid: mae, rmse"),
        (["format=html"], "unknown format 'html'. Valid: text, csv"),
        (["output=table.docx"], "unknown suffix of output '.docx'"),
        (["method=lcmd-tp_grad"], "unknown method 'lcmd-tp_grad'. Did you mean 'lcmd-tp_grad_rp-512'?"),
        (["dataset=friedman"], "unknown dataset 'friedman'. Did you mean 'fried'? Valid: diamonds, fried"),
        (["methods"], "'methods' is not of the form key=value"),
        (["paths.run=x"], "unknown option 'paths.run'. Did you mean 'paths.runs'?"),
        (["table=paired", "reference=fw"], "reference=fw has no records here; there are: lcmd-tp_grad_rp-512"),
        (["table=all", "output=all.csv"], "output=all.csv is one file, but there are"),
        (["dataset=fried", "table=ranks"], "ranks need three methods and two data sets"),
        (["dataset=fried", "table=prediction"], "Of the published fit only R^2 is known"),
        (["import=nowhere"], "import=nowhere: no <experiment>/<data set>_<task>"),
        (["skip_damaged=flase"], "skip_damaged must be true or false, got 'flase'"),
        (["skip_damaged=1"], "skip_damaged must be true or false, got 1"),
        (["metric=[mae]"], "metric must be a string (put a number in double quotes), got ['mae']"),
        (["output=5"], "output must be a string (put a number in double quotes), got 5"),
        (["paths.runs=null"], "paths.runs must be a string"),
        (["method=[a"], "cannot read 'method=[a': while parsing"),
        (
            ["paths.runs=${oc.env:NO_SUCH_FOLDER}"],
            "'paths.runs=${oc.env:NO_SUCH_FOLDER}': paths.runs: KeyError",
        ),
        (["format=latex", "output=x.csv"], "format=latex needs output=<file>.tex, got output=x.csv"),
        (["format=csv", "output=x.docx"], "format=csv needs output=<file>.csv, got output=x.docx"),
    ],
)
def test_one_clear_error(runs: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    assert main([f"paths.runs={runs}", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


def test_folder_that_cannot_be_written(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    assert main([f"paths.runs={runs}", f"output={tmp_path / 'file' / 'table.csv'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.endswith(f"'{tmp_path / 'file'}'\n")
    assert len(error.splitlines()) == 1


def test_experiment_may_be_called_by_a_number(runs: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}", "experiment=5"]) == 2
    assert "unknown experiment '5'. Valid: mini" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, runs: Path, capsys: Capture) -> None:
    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("results.__main__.load_chosen", interrupt)
    assert main([f"paths.runs={runs}"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_damaged_record_is_an_error_unless_skipped(runs: Path, capsys: Capture) -> None:
    path = record_path(runs, "mini", "fried", "256x3", "random", 0)
    path.write_text("{")
    assert main([f"paths.runs={runs}"]) == 2
    assert str(path) in capsys.readouterr().err
    assert main([f"paths.runs={runs}", "skip_damaged=true"]) == 0
    captured = capsys.readouterr()
    assert f"skipped: {path}" in captured.err
    assert "random lacks 1 of 12 runs: fried (splits 0)" in captured.out


def test_help_explains_every_option(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("Usage: python -m results", "paths:", "skip_damaged", "import:", "prediction", "reference"):
        assert word in shown
    for name in ("bmdal", "data_prep", "benchmark", "plots"):
        assert f"python -m {name}" in shown


def test_chosen_methods_are_all_in_the_tables_of_selected_ones(runs: Path, capsys: Capture) -> None:
    chosen = ["random", "maxdist-tp_grad_rp-512", "lcmd-tp_grad_rp-512", "lcmd-tp_ll"]
    assert main([f"paths.runs={runs}", "table=wins", f"method={','.join(chosen)}"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{method} " in shown for method in chosen)

"""`python -m plots` from the user's side."""

from pathlib import Path

import pytest

from plots.__main__ import main
from results.record import record_path
from tests.results.synthetic import write_grid

Capture = pytest.CaptureFixture[str]


def test_writes_pdf_and_png_and_says_where(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}", f"paths.figures={tmp_path}", "task=256x4"]) == 0
    files = [tmp_path / "mini" / "256x4" / f"learning_curves.{kind}" for kind in ("pdf", "png")]
    assert capsys.readouterr().out.splitlines() == [f"written: {file}" for file in files]
    assert all(file.stat().st_size > 1000 for file in files)


def test_chosen_methods_are_all_shown(runs: Path, tmp_path: Path) -> None:
    chosen = "method=random,maxdist-tp_ll,maxdist-tp_grad_rp-512"
    assert main([f"paths.runs={runs}", f"paths.figures={tmp_path}", "dataset=fried", "task=256x4", chosen]) == 0
    assert (tmp_path / "mini" / "256x4" / "learning_curves.pdf").exists()


def test_incomplete_grid_is_noted(tmp_path: Path, capsys: Capture) -> None:
    write_grid(tmp_path / "runs", "mini", ["fried", "stock"], "256x1", ["random", "lcmd-tp_ll"], range(2))
    record_path(tmp_path / "runs", "mini", "stock", "256x1", "random", 1).unlink()
    assert main([f"paths.runs={tmp_path / 'runs'}", f"paths.figures={tmp_path}"]) == 0
    assert "note: mini/256x1: random lacks 1 of 4 runs: stock (splits 1)" in capsys.readouterr().err


def test_figure_of_the_published_numbers_needs_no_records(tmp_path: Path) -> None:
    arguments = [f"paths.runs={tmp_path / 'nowhere'}", f"paths.figures={tmp_path}", "figure=literature_ranking"]
    assert main(arguments) == 0
    assert (tmp_path / "literature_ranking.png").exists()


def test_what_cannot_be_drawn_is_named_and_the_rest_drawn(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    only = [f"paths.runs={runs}", f"paths.figures={tmp_path}", "dataset=fried", "task=256x4"]
    assert main([*only, "figure=error_quotient"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(
        "error: a fit needs records of lcmd-tp_grad_rp-512 and random on at least 3 data sets"
    )
    assert captured.out == ""
    assert main([*only, "figure=all", "method=random,lcmd-tp_grad_rp-512,maxdist-p_grad_rp-512_train"]) == 0
    captured = capsys.readouterr()
    assert "left out: error_quotient: a fit needs records" in captured.err
    assert "left out: batch_sizes:" in captured.err
    assert "learning_curves_datasets_maxe.pdf" in captured.out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("figure=learning_curve", "unknown figure 'learning_curve'. Did you mean 'learning_curves'? Valid: "),
        ("experiment=minni", "unknown experiment 'minni'. Did you mean 'mini'? Valid: mini"),
        ("dpi=300", "unknown option 'dpi'"),
        ("report=nein", "report must be true or false, got 'nein'"),
        ("usetex=maybe", "usetex must be true or false, got 'maybe'"),
        ("dataset=[fried", "cannot read 'dataset=[fried'"),
    ],
)
def test_one_clear_error(runs: Path, capsys: Capture, argument: str, message: str) -> None:
    assert main([f"paths.runs={runs}", argument]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_folder_that_cannot_be_written(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    assert main([f"paths.runs={runs}", f"paths.figures={tmp_path / 'file'}", "figure=literature_ranking"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(tmp_path / "file") in error
    assert len(error.splitlines()) == 1


def test_interrupted(monkeypatch: pytest.MonkeyPatch, runs: Path, capsys: Capture) -> None:
    def interrupt(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("plots.__main__.load_chosen", interrupt)
    assert main([f"paths.runs={runs}"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_usetex_without_latex_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([f"paths.runs={runs}", "usetex=true"]) == 2
    assert "usetex=true needs latex" in capsys.readouterr().err


def test_help_lists_the_figures(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("learning_curves_literature", "paths:", "usetex", "report"):
        assert word in shown
    for name in ("bmdal", "data_prep", "benchmark", "results"):
        assert f"python -m {name}" in shown

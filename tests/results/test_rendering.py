"""Tables as text, CSV, Markdown and LaTeX."""

import csv
import io

import pytest

from results.render import Cell, Table, to_csv, to_latex, to_markdown, to_text

TABLE = Table(
    name="t",
    title="Errors of 50 % & more",
    columns=(("method", "Method"), ("log_mae", "MAE"), ("seconds", "Time [s]")),
    rows=(
        (Cell("a_b"), Cell(-1.23456, 0.00149, best=True), Cell(0.5)),
        (Cell("c > d"), Cell(2.0, 0.1), Cell(None)),
        (Cell("e"), Cell(float("nan"), float("nan")), Cell(12)),
    ),
    groups=("x", "x", "y"),
    notes=("a note",),
)


def test_text_is_aligned_ruled_and_marks_the_best() -> None:
    lines = to_text(TABLE).splitlines()
    assert lines[0] == TABLE.title
    assert "-1.235 ± 0.001*" in lines[4]
    assert lines[4].index("-1.235") < lines[5].index("2.000")
    assert set(lines[6]) == {"-"}
    assert lines[7].split()[1:] == ["–", "12"]
    assert lines[-1] == "note: a note"


def test_csv_keeps_full_precision_and_errors_apart() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == ["method", "log_mae", "log_mae_stderr", "seconds"]
    assert rows[1] == ["a_b", "-1.23456", "0.00149", "0.5"]
    assert rows[2] == ["c > d", "2.0", "0.1", ""]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_has_no_formulas(start: str) -> None:
    """A foreign record's method may be called anything; numbers stay numbers."""
    name, shown = f"{start}HYPERLINK(1)", f"'{start}HYPERLINK(1)".replace("\r", " ")
    table = Table("t", "T", (("method", "M"), (name, name)), ((Cell(name), Cell(-1.5, -0.5)), (Cell("a-b"), Cell(-2))))
    rows = list(csv.reader(io.StringIO(to_csv(table))))
    assert rows[0] == ["method", shown, f"{shown}_stderr"]
    assert rows[1:] == [[shown, "-1.5", "-0.5"], ["a-b", "-2", ""]]


def test_markdown_has_equal_cells_in_every_line() -> None:
    lines = to_markdown(TABLE).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {4}
    assert "| **-1.235 ± 0.001** |" in table[2]
    assert table[1] == "| :--- | ---: | ---: |"
    assert lines[-1] == "- a note"


def test_latex_is_escaped_booktabs() -> None:
    latex = to_latex(TABLE)
    assert r"\caption{Errors of 50 \% \& more}" in latex
    assert r"a\_b & $\mathbf{-1.235} \pm 0.001$ & $0.500$ \\" in latex
    assert r"c $\to$ d & $2.000 \pm 0.100$ & -- \\" in latex
    assert latex.count(r"\midrule") == 2
    for rule in (r"\toprule", r"\bottomrule", r"\begin{tabular}{lrr}", "% a note"):
        assert rule in latex


def test_table_without_rows() -> None:
    empty = Table("t", "Nothing", (("a", "A"),), ())
    for text in (to_text(empty), to_csv(empty), to_markdown(empty), to_latex(empty)):
        assert text.endswith("\n")

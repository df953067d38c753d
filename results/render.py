"""Render a table as text, CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.files import write_text_atomically
from cli.options import check_choice


@dataclass(frozen=True)
class Cell:
    """A number with an optional standard error, or a text; cells marked `best` are emphasized."""

    value: float | int | str | None
    stderr: float | None = None
    digits: int = 3
    best: bool = False

    @property
    def text(self) -> str:
        """The number rounded to `digits`, with its standard error; a dash if there is no number."""
        if isinstance(self.value, str | int):
            return str(self.value)
        if self.value is None or math.isnan(self.value):
            return "–"
        shown = f"{self.value:.{self.digits}f}"
        has_error = self.stderr is not None and not math.isnan(self.stderr)
        return f"{shown} ± {self.stderr:.{self.digits}f}" if has_error else shown


@dataclass(frozen=True)
class Table:
    """Rows of cells under (name, label) columns; a rule is drawn where `groups` changes from row to row.

    `name` is the stem of the file name. The CSV file uses the column names, all other formats the labels.
    """

    name: str
    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def is_text(self, column: int) -> bool:
        """Return whether a column holds text rather than numbers."""
        return any(isinstance(row[column].value, str) for row in self.rows)

    def starts_group(self, row: int) -> bool:
        """Return whether a rule is drawn above this row."""
        return bool(self.groups) and row > 0 and self.groups[row] != self.groups[row - 1]


def to_text(table: Table) -> str:
    """Render aligned columns, with an asterisk on the best cells."""
    body = [[cell.text + ("*" if cell.best else " ") for cell in row] for row in table.rows]
    labels = [label for _, label in table.columns]
    widths = [max(map(len, column)) for column in zip(labels, *body, strict=True)]
    is_name = [table.is_text(place) for place in range(len(labels))]

    def line(cells: list[str]) -> str:
        aligned = (c.ljust(w) if n else c.rjust(w) for c, w, n in zip(cells, widths, is_name, strict=True))
        return "  ".join(aligned).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [table.title, "", line([f"{label} " if not n else label for label, n in zip(labels, is_name, strict=True)])]
    lines.append(rule)
    for place, row in enumerate(body):
        lines += [rule] * table.starts_group(place) + [line(row)]
    if any(cell.best for row in table.rows for cell in row):
        lines += ["", "* best of its column or row, after rounding"]
    return "\n".join([*lines, *(f"note: {note}" for note in table.notes)]) + "\n"


def to_csv(table: Table) -> str:
    """Render as CSV in full precision; a column with standard errors is followed by `<name>_stderr`.

    A text that a spreadsheet would take for a formula is prefixed with an apostrophe.
    """
    with_error = [any(row[place].stderr is not None for row in table.rows) for place in range(len(table.columns))]
    header = [
        name
        for (column, _), has_error in zip(table.columns, with_error, strict=True)
        for name in ([column, f"{column}_stderr"] if has_error else [column])
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_no_formula, header))
    for row in table.rows:
        pairs = zip(row, with_error, strict=True)
        writer.writerow(
            [
                _no_formula(value)
                for cell, has_error in pairs
                for value in ([cell.value, cell.stderr] if has_error else [cell.value])
            ]
        )
    return file.getvalue()


def _no_formula(value: float | int | str | None) -> float | int | str | None:
    if not isinstance(value, str):
        return value
    quote = "'" if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else ""
    return quote + value.replace("\r", " ")  # the csv module does not quote \r


def to_markdown(table: Table) -> str:
    """Render a pipe table under its title, with the best cells in bold."""
    head = [label for _, label in table.columns]
    align = [":---" if table.is_text(place) else "---:" for place in range(len(head))]
    body = [[f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(text.replace("|", r"\|") for text in line) + " |" for line in (head, align, *body)]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"**{table.title}**", "", *lines, *([""] if notes else []), *notes]) + "\n"


def to_latex(table: Table) -> str:
    """Render a booktabs table (`\\usepackage{booktabs}`): best in bold, title as caption, notes as comments."""
    spec = "".join("l" if table.is_text(place) else "r" for place in range(len(table.columns)))
    lines = [f"% {note}" for note in table.notes]
    lines += [r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.title)}}}"]
    lines += [rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
    lines += [" & ".join(_escape(label) for _, label in table.columns) + r" \\", r"\midrule"]
    for place, row in enumerate(table.rows):
        lines += [r"\midrule"] * table.starts_group(place) + [" & ".join(map(_latex_cell, row)) + r" \\"]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell.value, str):
        shown = _escape(cell.value)
        return rf"\textbf{{{shown}}}" if cell.best else shown
    number, _, stderr = cell.text.partition(" ± ")
    if number == "–":
        return "--"
    shown = rf"\mathbf{{{number}}}" if cell.best else number
    return f"${shown} \\pm {stderr}$" if stderr else f"${shown}$"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    ">": r"$\to$",
    "±": r"$\pm$",
}
_LATEX |= {char: rf"\{char}" for char in "&%$#_{}"}


def _escape(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)


FORMATS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
}
SUFFIXES = {"text": ".txt", "csv": ".csv", "markdown": ".md", "latex": ".tex"}


def format_of(output: str | None) -> str:
    """Return the format that a file's suffix sets, "text" without a file; raise an error that names the valid ones."""
    suffixes = {suffix: form for form, suffix in SUFFIXES.items()}
    suffix = Path(output or "").suffix
    return suffixes[check_choice("suffix of output", suffix, suffixes)] if suffix else "text"


def put_table(table: Table, output: str | None) -> None:
    """Write a table to a file in the format of its suffix, or print it."""
    text = FORMATS[format_of(output)](table)
    if output:
        write_text_atomically(Path(output), text)
        print(f"written: {Path(output).resolve()}")
    else:
        print(text, end="")

"""Collect tables and figures, and write them into one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd

from cli.files import write_text_atomically
from cli.progress import with_progress
from plots.figures import ACROSS_TASKS, PER_TASK, STANDALONE, Drawn, draw_figures, draw_leaderboard
from plots.report.inline import InlineFigure, inline_figure
from results.aggregate import GROUP
from results.compose import PREDICTION, TABLES, compose_tables
from results.compose import STANDALONE as STANDALONE_TABLES
from results.errors import ResultsError
from results.findings import findings
from results.leaderboard import LEADERBOARD, Contest, leaderboard_table
from results.methods import RANDOM
from results.overview import overview_table
from results.render import Cell, Table

_HERE = Path(__file__).parent
_DEVIATIONS = _HERE.parent.parent / "docs" / "deviations.md"
# For figures with one file per metric, the report only shows this metric.
_METRIC = "rmse"


@dataclass(frozen=True)
class ShownFigure:
    """A figure on the page; `name` is its anchor."""

    name: str
    caption: str
    inline: InlineFigure


@dataclass(frozen=True)
class Section:
    """What was found, in words, figures and tables under one heading, and the reasons why some were left out."""

    name: str
    title: str
    findings: list[str]
    figures: list[ShownFigure]
    tables: list[Table]
    left_out: list[str]


def write_report(frame: pd.DataFrame, path: Path, *, all_methods: bool, contest: Contest) -> None:
    """Write the report on all experiments and tasks of the records as one self-contained file.

    It contains the leaderboard if the records include its protocol.
    """
    parts = sorted(frame.groupby(GROUP, observed=True), key=lambda item: -len(item[1]))
    steps = with_progress(parts, "reporting experiments and tasks")
    sections = [_task_section(str(e), str(t), part, all_methods) for (e, t), part in steps]
    if contest.title in {f"{e}, {t}" for (e, t), _ in parts}:
        sections.insert(1, _leaderboard_section(contest))
    sections += _across_sections(frame, all_methods)
    sections.append(_published_section())
    first, rest = _first_screen(sections[0])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["verdict"] = lambda text: text if text in ("agrees", "differs") else ""
    page = environment.get_template("page.html.j2").render(
        overview=overview_table(frame),
        first=first,
        sections=[rest, *sections[1:]],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        deviations=_deviations_table(_DEVIATIONS.read_text(encoding="utf-8")),
    )
    write_text_atomically(path, page)


def _first_screen(section: Section) -> tuple[Section, Section]:
    """Return what was found in a section with the picture that belongs to it, and the rest of the section."""
    pictures = [figure for figure in section.figures if figure.caption == "savings"]
    others = [figure for figure in section.figures if figure not in pictures]
    return replace(section, figures=pictures, tables=[], left_out=[]), replace(section, findings=[], figures=others)


def _deviations_table(text: str) -> Table:
    """The table on the page of known deviations, which is a Markdown file."""
    lines = [line.strip().strip("|").replace("`", "").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    columns = tuple((name, name) for name in head)
    return Table("deviations", "Where they differ", columns, tuple(tuple(map(Cell, row)) for row in rows))


def _task_section(experiment: str, task: str, part: pd.DataFrame, all_methods: bool) -> Section:
    left_out: list[str] = []
    figures = [figure for name in PER_TASK for figure in _figures(part, name, all_methods, left_out)]
    tables = [
        table
        for name in TABLES
        for table in compose_tables(part, name, _METRIC, RANDOM, all_methods=all_methods, left_out=left_out)
    ]
    name, title = f"{experiment}-{task}", f"{experiment}, {task}"
    return Section(name, title, findings(part, _METRIC), figures, tables, list(dict.fromkeys(left_out)))


def _leaderboard_section(contest: Contest) -> Section:
    left_out: list[str] = []
    figures, tables = [], []
    try:
        tables.append(leaderboard_table(contest))
        figures += [_shown(drawn) for drawn in draw_leaderboard(contest)]
    except ResultsError as error:
        left_out.append(f"{LEADERBOARD}: {error}")
    return Section(LEADERBOARD, "Leaderboard", [], figures, tables, left_out)


def _across_sections(frame: pd.DataFrame, all_methods: bool) -> Iterator[Section]:
    left_out: list[str] = []
    figures = [figure for name in ACROSS_TASKS for figure in _figures(frame, name, all_methods, left_out)]
    yield Section("batch-sizes", "Batch sizes", [], figures, [], left_out)
    reasons: list[str] = []
    tables = compose_tables(frame, PREDICTION, _METRIC, RANDOM, all_methods=all_methods, left_out=reasons)
    yield Section("prediction", "Will active learning pay?", [], [], tables, reasons)


def _published_section() -> Section:
    figures = [
        ShownFigure(name, name.replace("_", " "), inline_figure(draw(), name)) for name, draw in STANDALONE.items()
    ]
    tables = [table for make in STANDALONE_TABLES.values() for table in make()]
    return Section("published", "The published numbers, and how LCMD works", [], figures, tables, [])


def _figures(frame: pd.DataFrame, name: str, all_methods: bool, left_out: list[str]) -> Iterator[ShownFigure]:
    try:
        for drawn in draw_figures(frame, name, all_methods=all_methods):
            stem = drawn.place.rsplit("/", 1)[-1]
            if stem in (name, f"{name}_{_METRIC}"):
                yield _shown(drawn)
    except ResultsError as error:
        left_out.append(f"{name}: {error}")


def _shown(drawn: Drawn) -> ShownFigure:
    anchor, stem = drawn.place.replace("/", "-"), drawn.place.rsplit("/", 1)[-1]
    return ShownFigure(anchor, stem.replace("_", " "), inline_figure(drawn.figure, anchor))

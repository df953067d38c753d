"""`python -m bmdal suggest`: two tables in, the rows to label out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bmdal.errors import BmdalError
from bmdal.suggestion.files import as_csv, check_writable, write_whole
from bmdal.suggestion.history import LOG, as_log, check_history, read_history, round_of, with_round
from bmdal.suggestion.models import DEFAULTS
from bmdal.suggestion.page import page
from bmdal.suggestion.sheet import read_sheet
from bmdal.suggestion.suggest import Suggestion, suggest_from
from bmdal.suggestion.summary import overview, verdict

BAD_INPUT, INTERRUPTED = 2, 130
PURPOSE = """\
Which rows of a table should be labelled next?

  suggest labelled.csv candidates.csv --target price --batch 50    the rows of the second table worth measuring
  suggest table.csv --target price --batch 50                      one table: rows without a price are the candidates
  suggest candidates.csv --batch 20                                nothing is labelled yet: a first design

Writes the rows, in order of importance and with the reason for each, to to_label.csv, and a page about them to
to_label.html. Tables are CSV (any common separator, decimal point or comma), Parquet or Excel files, with the names of
the columns in the first line. Nothing is sent anywhere.
"""
NEXT = """\
To go on: measure the rows, append them to the labelled table, and run the same command again. Rows that are labelled
are not suggested again. With --history, the page shows how errors developed and how well earlier predictions held.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise BmdalError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = _Parser(
        "python -m bmdal suggest", description=PURPOSE, epilog=NEXT, allow_abbrev=False,
        usage="%(prog)s TABLE [TABLE] --batch N [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = options.add_argument
    add("tables", nargs="+", metavar="TABLE", type=Path, help="the labelled rows, if any, and then the candidates")
    add("--batch", type=int, required=True, metavar="N", help="number of rows to choose")
    add("--target", nargs="+", default=[], metavar="COLUMN", help="what is measured; several columns are possible")
    add("--model", default="forest", metavar="NAME", help=f"{', '.join(DEFAULTS)} (default: forest)")
    defaults = ", ".join(dict.fromkeys(DEFAULTS.values()))
    add("--method", metavar="NAME", help=f"any method of bmdal; default by model: {defaults}")
    add("--constraint", action="append", default=[], metavar="TEXT", help='such as "temperature <= 900"; repeatable')
    add("--group", metavar="COLUMN", help="limits the rows per value of this column, such as a supplier")
    add("--per-group", type=int, default=1, metavar="N", help="rows per group (default: 1)")
    add("--cost", metavar="COLUMN", help="cost of each row: gains are divided by it")
    add("--exclude", type=Path, metavar="TABLE", help="rows that must not be chosen, equal in all columns in common")
    add("--history", type=Path, metavar="FOLDER", help="keep a log of the rounds here")
    add(
        "--output", type=Path, default=Path("to_label.csv"), metavar="FILE", help="default: to_label.csv, to_label.html"
    )
    add("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")
    add("--force", action="store_true", help="overwrite the output of an earlier run")
    return options


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status: 0, or 2 for bad input."""
    try:
        _work(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted; nothing more is written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader stopped reading, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except (BmdalError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _work(arguments: Sequence[str]) -> None:
    options = parser().parse_args(list(arguments))
    if len(options.tables) > 2:
        raise BmdalError(f"one or two tables, got {len(options.tables)}: {', '.join(map(str, options.tables))}")
    if options.output.suffix.lower() != ".csv":
        raise BmdalError(f"--output must end in .csv, got {options.output}")
    inputs = [*options.tables, *([options.exclude] if options.exclude else [])]
    if options.output.resolve() in [path.resolve() for path in inputs]:
        raise BmdalError(f"--output {options.output} would overwrite an input; name another file")
    if options.per_group != 1 and options.group is None:
        raise BmdalError("--per-group needs --group COLUMN")
    html = options.output.with_suffix(".html")
    taken = [str(path) for path in (options.output, html) if path.exists()]
    if taken and not options.force:
        raise BmdalError(
            f"{' and '.join(taken)} {'exist' if len(taken) > 1 else 'exists'}; add --force to overwrite, or name "
            "another file with --output"
        )
    rounds = read_history(options.history) if options.history else ()
    for path in (options.output, html, *([options.history / LOG] if options.history else [])):
        check_writable(path)
    *labelled, candidates = [read_sheet(path) for path in options.tables]
    if options.history:
        check_history(rounds, options.target, candidates.names, options.history)
    suggestion = suggest_from(
        labelled[0] if labelled else None,
        candidates,
        options.target,
        options.batch,
        options.model,
        options.method,
        options.constraint,
        options.group,
        options.per_group,
        options.cost,
        read_sheet(options.exclude) if options.exclude else None,
        options.seed,
    )
    print(_told(suggestion), flush=True)
    write_whole({options.output: as_csv(suggestion.table, candidates.separator, candidates.decimal)})
    print(f"\nwritten: {options.output}", flush=True)
    if suggestion.details.validation is not None:
        print("estimating whether it pays ...", file=sys.stderr, flush=True)
        print(verdict(suggestion.outlook), flush=True)
    files = {html: page(suggestion, rounds)}
    if options.history:
        files[options.history / LOG] = as_log(with_round(rounds, round_of(suggestion)))
    write_whole(files)
    print("written: " + ", ".join(map(str, files)))


def _told(suggestion: Suggestion) -> str:
    """What was dropped or changed, what to know, and what was chosen."""
    parts = []
    for title, lines in (("Dropped or changed:", suggestion.changed), ("Know this first:", suggestion.doubts)):
        if lines:
            parts.append("\n".join([title, *(f"  {line}" for line in lines)]))
    return "\n\n".join([*parts, "\n".join(overview(suggestion))])

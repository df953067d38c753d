"""Print or write the paper's tables from run records: means of log metrics with standard errors, and statistics.

`python -m benchmark` writes the records, and `python -m data_prep` shows its data sets. `python -m plots` draws the
figures from the same records. `python -m bmdal` gives an overview of the library.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from cli.files import write_text_atomically
from cli.options import check_choice, describe_options, read_options
from cli.run import FAILED, run_command
from results.choose import EXPECTED, FILTERS, load_chosen
from results.compose import BUDGET, MODELS, PREDICTION, STANDALONE, TABLES, budget_tables, compose_tables
from results.errors import ResultsError
from results.leaderboard import LEADERBOARD, gather, leaderboard_paths, leaderboard_table
from results.original import import_original
from results.record import METRICS
from results.render import FORMATS, SUFFIXES, Table
from results.submission import SubmissionError, read_protocol, submit


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    return run_command(arguments, lambda: describe_options("results", __doc__ or ""), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("results", arguments)
    wanted = check_choice(
        "table", options.table, [*TABLES, PREDICTION, MODELS, LEADERBOARD, BUDGET, *STANDALONE, "all"]
    )
    check_choice("metric", options.metric, METRICS)
    form = _format(options)
    if options["import"] is not None:
        n_written = import_original(Path(options["import"]), Path(options.paths.runs))
        print(f"imported: {n_written} runs into {Path(options.paths.runs).resolve()}")
        return 0
    if options.submit is not None:
        return _submit(options)
    if wanted == LEADERBOARD:
        _deliver([_leaderboard(options)], form, options.output)
        return 0
    if wanted in STANDALONE:
        _deliver(STANDALONE[wanted](), form, options.output)
        return 0
    if wanted == BUDGET:
        timed, options.method = list(options.method), []  # the ranking is that of all methods
        frame = load_chosen(options)
        for name in timed:
            check_choice("method", name, frame["method"].cat.categories)
        _deliver(budget_tables(frame, timed, options.metric, options.budget), form, options.output)
        return 0
    left_out: list[str] | None = [] if wanted == "all" else None
    tables = compose_tables(
        load_chosen(options),
        wanted,
        options.metric,
        options.reference,
        all_methods=bool(options.method),
        left_out=left_out,
    )
    standalone = [table for make in STANDALONE.values() for table in make()] if wanted == "all" else []
    _deliver(tables + standalone, form, options.output)
    for reason in dict.fromkeys(left_out or []):
        print(f"left out: {reason}", file=sys.stderr)
    return 0


def _leaderboard(options: DictConfig) -> Table:
    for key in FILTERS:
        if options[key]:
            raise ResultsError(f"table={LEADERBOARD} compares all methods of the protocol; leave out {key}=")
    protocol, submissions = leaderboard_paths(options.paths.protocol, options.paths.submissions)
    contest = gather(protocol, submissions, Path(options.paths.runs), skip_damaged=options.skip_damaged)
    return leaderboard_table(contest, options.metric)


def _submit(options: DictConfig) -> int:
    protocol, submissions = leaderboard_paths(options.paths.protocol, options.paths.submissions)
    try:
        written, told = submit(
            Path(options.submit),
            read_protocol(protocol),
            submissions,
            name=options.name,
            rerun=options.rerun,
            data=Path(options.paths.data),
        )
    except SubmissionError as error:
        for fault in error.faults:
            print(f"refused: {fault}", file=sys.stderr)
        return FAILED
    print(f"{told}\nwritten: {written.resolve()}")
    return 0


def _format(options: DictConfig) -> str:
    suffix = Path(options.output or "").suffix
    if options.format is not None:
        form = check_choice("format", options.format, FORMATS)
        if suffix not in ("", SUFFIXES[form]):
            raise ResultsError(f"format={form} needs output=<file>{SUFFIXES[form]}, got output={options.output}")
        return form
    suffixes = {suffix: form for form, suffix in SUFFIXES.items()}
    return suffixes[check_choice("suffix of output", suffix, suffixes)] if suffix else "text"


def _deliver(tables: list[Table], form: str, output: str | None) -> None:
    texts = [FORMATS[form](table) for table in tables]
    if output is None:
        print("\n".join(texts), end="")
        return
    place = Path(output)
    if place.suffix and len(tables) > 1:
        raise ResultsError(
            f"output={output} is one file, but there are {len(tables)} tables; "
            "name a folder (no suffix), or choose with table=, experiment= and task="
        )
    files = [place] if place.suffix else [place / f"{table.name}{SUFFIXES[form]}" for table in tables]
    for file, text in zip(files, texts, strict=True):
        write_text_atomically(file, text)
        print(f"written: {file.resolve()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

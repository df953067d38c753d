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
from cli.run import run_command
from results.choose import EXPECTED, load_chosen
from results.compose import MODELS, PREDICTION, STANDALONE, TABLES, compose_tables
from results.errors import ResultsError
from results.original import import_original
from results.record import METRICS
from results.render import FORMATS, SUFFIXES, Table


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    return run_command(arguments, lambda: describe_options("results", __doc__ or ""), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("results", arguments)
    wanted = check_choice("table", options.table, [*TABLES, PREDICTION, MODELS, *STANDALONE, "all"])
    check_choice("metric", options.metric, METRICS)
    form = _format(options)
    if options["import"] is not None:
        n_written = import_original(Path(options["import"]), Path(options.paths.runs))
        print(f"imported: {n_written} runs into {Path(options.paths.runs).resolve()}")
        return 0
    if wanted in STANDALONE:
        _deliver(STANDALONE[wanted](), form, options.output)
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

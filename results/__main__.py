"""Print or write the paper's tables from run records: means of log metrics with standard errors, and statistics."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from results.command_line import check_choice, load_chosen, run_command
from results.compose import TABLES, compose_tables
from results.errors import ResultsError
from results.record import METRICS, write_text_atomically
from results.render import FORMATS, SUFFIXES, Table


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit status."""
    return run_command("results", __doc__ or "", arguments, _work)


def _work(options: DictConfig) -> None:
    wanted = check_choice("table", options.table, [*TABLES, "all"])
    check_choice("metric", options.metric, METRICS)
    form = _format(options)
    tables = compose_tables(load_chosen(options), wanted, options.metric, options.reference)
    _deliver(tables, form, options.output)


def _format(options: DictConfig) -> str:
    if options.format is not None:
        return check_choice("format", options.format, FORMATS)
    suffixes = {suffix: form for form, suffix in SUFFIXES.items()}
    suffix = Path(options.output or "").suffix
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

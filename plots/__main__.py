"""Draw the paper's figures from run records, as PDF and PNG, or write a report of everything as one HTML file.

First, `python -m benchmark` writes the records; `python -m data_prep` lists its data sets. `python -m results` prints
tables of the same records. `python -m bmdal` gives an overview of the library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
from omegaconf import DictConfig

from cli.options import check_choice, describe_options, read_options
from cli.progress import with_progress
from cli.run import run_command
from plots.errors import PlotError
from plots.figures import FIGURES, STANDALONE, Drawn, draw_figures, draw_leaderboard
from plots.report import write_report
from plots.style import STYLE, escape_for_tex, require_tex, save_figure
from results.choose import EXPECTED, load_chosen
from results.errors import ResultsError
from results.leaderboard import LEADERBOARD, Contest, gather, leaderboard_paths


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    names = "\n".join(f"  {name:28}{purpose}" for name, purpose in FIGURES.items())
    purpose = f"{__doc__}\nFigures (figure=<name> or figure=all):\n{names}"
    return run_command(arguments, lambda: describe_options("plots", purpose), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("plots", arguments)
    wanted = check_choice("figure", options.figure, [*FIGURES, "all"])
    if options.report:
        report = Path(options.paths.figures) / "report.html"
        with matplotlib.rc_context(STYLE):
            write_report(load_chosen(options), report, all_methods=bool(options.method), contest=_contest(options))
        print(f"written: {report.resolve()}")
        return 0
    if options.usetex:
        require_tex()
    with matplotlib.rc_context({**STYLE, "text.usetex": bool(options.usetex)}):
        noted: dict[str, None] = {}
        for drawn in _draw(options, wanted):
            noted |= dict.fromkeys(f"{drawn.place.rpartition('/')[0]}: {note}" for note in drawn.notes)
            if options.usetex:
                escape_for_tex(drawn.figure)
            place = Path(options.paths.figures) / drawn.place
            for file in save_figure(drawn.figure, place.parent, place.name):
                print(f"written: {file.resolve()}", flush=True)
        for note in noted:
            print(f"note: {note}", file=sys.stderr)
    return 0


def _contest(options: DictConfig) -> Contest:
    protocol, submissions = leaderboard_paths(options.paths.protocol, options.paths.submissions)
    return gather(protocol, submissions, Path(options.paths.runs), skip_damaged=options.skip_damaged)


def _draw(options: DictConfig, wanted: str) -> Iterator[Drawn]:
    names = list(FIGURES) if wanted == "all" else [wanted]
    frame = load_chosen(options) if set(names) - {*STANDALONE, LEADERBOARD} else None
    for name in with_progress(names, "drawing figures") if len(names) > 1 else names:
        if name in STANDALONE:
            yield Drawn(name, STANDALONE[name]())
            continue
        try:
            if name == LEADERBOARD:
                yield from draw_leaderboard(_contest(options))
                continue
            assert frame is not None
            yield from draw_figures(frame, name, all_methods=bool(options.method))
        except (PlotError, ResultsError) as error:
            if wanted != "all":
                raise
            print(f"left out: {name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

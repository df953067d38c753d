"""Draw the paper's figures from run records, as PDF and PNG."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
from omegaconf import DictConfig

from plots.errors import PlotError
from plots.figures import FIGURES, draw_figures
from plots.style import STYLE, escape_for_tex, require_tex, save_figure
from results.command_line import check_choice, load_chosen, run_command


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit status."""
    names = "\n".join(f"  {name}" for name in FIGURES)
    return run_command("plots", f"{__doc__}\n\nFigures (figure=<name> or all):\n{names}", arguments, _work)


def _work(options: DictConfig) -> None:
    wanted = check_choice("figure", options.figure, [*FIGURES, "all"])
    if options.usetex:
        require_tex()
    frame = load_chosen(options)
    folder = Path(options.paths.figures)
    with matplotlib.rc_context({**STYLE, "text.usetex": bool(options.usetex)}):
        for name in FIGURES if wanted == "all" else [wanted]:
            try:
                for drawn in draw_figures(frame, name, all_methods=options.method is not None):
                    if options.usetex:
                        escape_for_tex(drawn.figure)
                    place = folder / drawn.place
                    for file in save_figure(drawn.figure, place.parent, place.name):
                        print(f"written: {file.resolve()}")
            except PlotError as error:
                if wanted != "all":
                    raise
                print(f"left out: {name}: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the figures show: the curves, points and texts in them are those of the records."""

import re
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from plots import agreement, lcmd_steps, literature_ranking
from plots.errors import PlotError
from plots.figures import ACROSS_TASKS, FIGURES, PER_TASK, STANDALONE, draw_figures, draw_leaderboard
from plots.leaderboard import front
from plots.style import colour_of, escape_for_tex, line_styles, save_figure
from results.aggregate import learning_curves, run_values
from results.agreement import method_distances, published_values, spearman
from results.leaderboard import LEADERBOARD, gather, leaderboard
from results.methods import SELECTION_LABELS
from results.prediction import quotient_points
from results.published import load_published
from results.record import METRICS
from tests.plots.conftest import DATASETS


def drawn(frame: pd.DataFrame, name: str) -> dict[str, Figure]:
    return {d.place: d.figure for d in draw_figures(frame, name, all_methods=False)}


def labels(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_every_figure_is_drawn_by_name_and_saved_whole(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert set(FIGURES) == {*PER_TASK, *ACROSS_TASKS, *STANDALONE, LEADERBOARD}
    for name in (*PER_TASK, *ACROSS_TASKS):
        figures = drawn(frame, name)
        assert figures, name
        place = max(figures)  # has the most data sets
        check_files(*save_figure(figures[place], tmp_path / name, place.rsplit("/", 1)[-1]), name)
    assert not list(tmp_path.rglob(".*"))


def check_files(pdf: Path, png: Path, name: str) -> None:
    assert pdf.read_bytes()[:5] == b"%PDF-"
    assert pdf.read_bytes().rstrip().endswith(b"%%EOF")
    pixels = np.asarray(Image.open(png).convert("L"))
    # Nothing is cut off: the outermost pixels are empty.
    assert pixels[[0, -1]].min() == pixels[:, [0, -1]].min() == 255, name
    assert pixels.min() < 100


def test_learning_curves_show_the_means(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "learning_curves")["mini/256x4/learning_curves"]
    panels = dict(zip(METRICS, figure.axes, strict=False))
    shown = frame[frame["task"] == "256x4"]
    expected = learning_curves(shown[shown["method"] == "lcmd-tp_grad_rp-512"], "maxe")
    line = next(line for line in panels["maxe"].get_lines() if line.get_label() == "LCMD-TP")
    assert line.get_ydata() == pytest.approx(expected["log"].to_numpy())
    assert line.get_xdata().tolist() == [256, 512, 768, 1024, 1280]
    assert labels(figure) == [
        "Random",
        "MaxDist-P",
        "MaxDist-TP (grad > rp-512)",
        "MaxDist-TP (ll)",
        "KMeansPP-P (grad > rp-512 > acs-rf-512)",
        "KMeansPP-P (ll > train)",
        "LCMD-TP",
    ]
    assert "3 data sets, 2 splits" in figure.get_suptitle()
    ticks = [t.get_text() for t in panels["mae"].get_xticklabels()]
    assert {"256", "512", "1024"} <= set(ticks)


def test_random_is_dashed_and_alone_black(frame: pd.DataFrame) -> None:
    lines = drawn(frame, "learning_curves")["mini/256x4/learning_curves"].axes[0].get_lines()
    dashed = {line.get_label() for line in lines if line.get_linestyle() == "--"}
    black = {line.get_label() for line in lines if to_hex(line.get_color()) == "#000000" and len(line.get_xdata()) > 2}
    assert dashed == black == {"Random"}


def test_one_colour_for_each_selection_method_everywhere() -> None:
    colours = {selection: colour_of(selection) for selection in SELECTION_LABELS}
    assert len(set(colours.values())) == len(colours)
    styles = line_styles(["lcmd-tp_ll", "lcmd-p_ll_train", "lcmd-tp_grad", "fw-p_ll_train", "mine-p_ll"])
    assert {styles[m]["color"] for m in styles if m.startswith("lcmd")} == {colours["lcmd"]}
    assert len({str(styles[m]["linestyle"]) for m in styles if m.startswith("lcmd")}) == 3
    assert styles["mine-p_ll"]["color"] not in colours.values()


def test_colours_are_told_apart_without_colour_vision_by_their_markers() -> None:
    styles = line_styles(list(SELECTION_LABELS))
    assert len({style["marker"] for style in styles.values()}) == len(SELECTION_LABELS)


def test_one_panel_for_each_data_set(frame: pd.DataFrame) -> None:
    figures = drawn(frame[frame["task"] == "256x4"], "learning_curves_datasets")
    assert list(figures) == [f"mini/256x4/learning_curves_datasets_{metric}" for metric in METRICS]
    figure = figures["mini/256x4/learning_curves_datasets_rmse"]
    assert [axes.get_title() for axes in figure.axes] == sorted(DATASETS)


@pytest.mark.parametrize(
    ("figure", "place", "method", "label"),
    [
        (
            "learning_curves_datasets",
            "mini/256x4/learning_curves_datasets_rmse",
            "maxdist-tp_grad_rp-512",
            "MaxDist-TP (grad > rp-512)",
        ),
        ("batch_sizes_datasets", "mini/batch_sizes_datasets_rmse", "lcmd-tp_grad_rp-512", "LCMD-TP"),
        ("batch_sizes_datasets", "mini/batch_sizes_datasets_rmse", "random", "Random"),
    ],
)
def test_method_that_is_missing_on_one_data_set_is_drawn_on_the_others(
    frame: pd.DataFrame, figure: str, place: str, method: str, label: str
) -> None:
    whole = drawn(frame, figure)[place]
    datasets = [axes.get_title() for axes in whole.axes]
    parted = drawn(frame[(frame["dataset"] != datasets[0]) | (frame["method"] != method)], figure)[place]
    assert [axes.get_title() for axes in parted.axes] == datasets
    assert set(labels(parted)) == set(labels(whole))
    for number, (axes, before) in enumerate(zip(parted.axes, whole.axes, strict=True)):
        shown, expected = (
            {line.get_label(): line.get_xydata().tolist() for line in panel.get_lines() if line.get_label()[0] != "_"}
            for panel in (axes, before)
        )
        if number == 0:
            del expected[label]
        assert shown == expected


def test_literature_figure_uses_the_names_of_the_literature(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "learning_curves_literature")["mini/256x4/learning_curves_literature"]
    assert labels(figure) == ["No BMAL (random)", "Core-Set / FF-Active", "BADGE", "LCMD-TP (the paper's)"]


def test_batch_sizes_show_the_last_round(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "batch_sizes")["mini/batch_sizes"]
    line = next(line for line in figure.axes[1].get_lines() if line.get_label() == "LCMD-TP")
    assert line.get_xdata().tolist() == [256, 512, 1024]
    part = frame[(frame["method"] == "lcmd-tp_grad_rp-512") & frame["dataset"].isin(DATASETS[:2])]
    values = run_values(part[part["task"] == "512x2"], metrics=["rmse"], final=True)
    expected = values.groupby("dataset", observed=True)["rmse"].mean().mean()
    assert line.get_ydata()[1] == pytest.approx(expected)
    assert set(labels(figure)) == {"Random", "MaxDist-P", "KMeansPP-P", "LCMD-TP"}


def test_error_quotient_shows_points_and_fit(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "error_quotient")["mini/256x4/error_quotient"]
    points = quotient_points(frame[frame["task"] == "256x4"])
    shown = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for dataset in DATASETS:
        assert shown[dataset].get_xdata()[0] == pytest.approx(points.at[dataset, "quotient"])
        assert shown[dataset].get_ydata()[0] == pytest.approx(points.at[dataset, "improvement"])
    assert any(label.startswith("linear fit, $R^2$") for label in shown)


def test_agreement_shows_every_method_and_names_those_far_off(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "agreement")["mini/256x4/agreement"]
    part = frame[frame["task"] == "256x4"]
    distances = method_distances(*published_values(part, "rmse"))
    for axes, x, y in zip(figure.axes, ("published", "published_rank"), ("ours", "rank"), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        shown = np.concatenate([lines[name].get_xydata() for name in SELECTION_LABELS.values() if name in lines])
        assert sorted(shown.tolist()) == sorted(distances[[x, y]].to_numpy().tolist())
        assert to_hex(lines["LCMD"].get_color()) == to_hex(colour_of("lcmd"))
    assert labels(figure) == ["Random", "MaxDist", "KMeansPP", "LCMD"]
    assert f"{spearman(distances['ours'], distances['published']):.2f} (Spearman)" in figure.get_suptitle()
    far = distances.assign(off_line=distances.index == "random", off_rank=distances.index == "maxdist-tp_ll")
    named = agreement.draw(far, "rmse", "title").axes
    assert [[text.get_text() for text in axes.texts] for axes in named] == [["Random"], ["MaxDist-TP (ll)"]]


def test_pairwise_has_a_panel_for_each_pair(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "pairwise")["mini/256x4/pairwise_q99"]
    assert len(figure.axes) == 15  # pairs of six methods beside random
    axes = figure.axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == (axes.get_ylim(), axes.get_xlim())


def test_figures_that_the_records_do_not_allow_say_why(frame: pd.DataFrame) -> None:
    only = frame[(frame["dataset"] == "fried") & (frame["task"] == "256x4")]
    reasons = {
        "error_quotient": "at least 3 data sets, there are 1",
        "critical_difference": "three methods and two data sets",
        "batch_sizes": "only records for one batch size",
    }
    for name, reason in reasons.items():
        with pytest.raises(PlotError, match=reason):
            drawn(only, name)
    with pytest.raises(PlotError, match="no selection method has effective dimensions with both kernels"):
        drawn(only[only["method"] != "maxdist-tp_ll"], "effective_dimension")


def test_one_data_set_one_split_suffices_for_learning_curves(frame: pd.DataFrame) -> None:
    only = frame[(frame["dataset"] == "fried") & (frame["task"] == "256x4") & (frame["split"] == 0)]
    assert "fried, 1 split" in drawn(only, "learning_curves")["mini/256x4/learning_curves"].get_suptitle()


def test_literature_ranking_is_in_the_published_order() -> None:
    axes = literature_ranking.draw().axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[-1] == "LCMD-TP (the paper's)"
    assert names[0] == "BALD"
    shown = sorted(float(text.get_text()) for text in axes.texts)
    published = load_published("relu").set_index("method")["log_rmse"]
    assert shown[0] == published["lcmd-tp_grad_rp-512"]


def test_lcmd_steps_pick_the_farthest_point_of_the_largest_cluster() -> None:
    for axes in lcmd_steps.draw(n_pool=60).axes:
        lines = {line.get_label(): np.column_stack(line.get_data()) for line in axes.get_lines()}
        pool, centres, following = lines["pool"], lines["training and selected"], lines["selected next"][0]
        squares = ((pool[:, None] - centres) ** 2).sum(axis=2)
        sums = np.bincount(squares.argmin(axis=1), squares.min(axis=1), minlength=len(centres))
        members = squares.argmin(axis=1) == sums.argmax()
        expected = pool[members][squares.min(axis=1)[members].argmax()]
        assert following == pytest.approx(expected)


def test_texts_are_made_safe_for_latex(frame: pd.DataFrame) -> None:
    figure = drawn(frame, "effective_dimension")["mini/256x4/effective_dimension"]
    escape_for_tex(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "effective dimension with ll"
    assert axes.get_ylabel() == r"effective dimension with grad\_rp-512"
    assert r"100.0 \% of" in axes.get_title()
    quotient = drawn(frame, "error_quotient")["mini/256x4/error_quotient"]
    escape_for_tex(quotient)
    assert "$R^2$" in quotient.axes[0].get_title()
    figure.axes[0].set_title("my_exp, $R^2$ 9%")
    escape_for_tex(figure)
    assert figure.axes[0].get_title() == r"my\_exp, $R^2$ 9\%"


@pytest.mark.skipif(not shutil.which("latex") or not shutil.which("dvipng"), reason="no LaTeX found")
def test_text_is_set_by_latex_where_there_is_one(tmp_path: Path) -> None:
    with matplotlib.rc_context({"text.usetex": True}):
        figure = literature_ranking.draw()
        escape_for_tex(figure)
        pdf, _ = save_figure(figure, tmp_path, "ranking")
    # LaTeX's own fonts are in the file, and no other.
    fonts = set(re.findall(rb"/FontName /(\S+)", pdf.read_bytes()))
    assert fonts
    assert not any(b"DejaVu" in font for font in fonts)


def test_labels_saved_are_drawn(frame: pd.DataFrame) -> None:
    """The arrow runs from where the best curve reaches the last error of random selection to the end."""
    for figure in drawn(frame, "savings").values():
        (axes,) = figure.axes
        assert axes.get_xlabel() == "labelled training points"
        texts = [t.get_text() for t in axes.texts if "labels saved" in t.get_text()]
        assert len(texts) <= 1
        assert len(labels(figure)) == len(set(labels(figure))) >= 2


def test_leaderboard_shows_every_method_where_its_numbers_are(protocol: Path, tmp_path: Path) -> None:
    contest = gather(protocol, tmp_path)
    board = leaderboard(contest).set_index("method")
    cost, ranks = (found.figure for found in draw_leaderboard(contest))
    lines = {line.get_label(): line for line in cost.axes[0].get_lines() if len(line.get_xdata()) == 1}
    assert set(lines) == set(board.index)
    for method, line in lines.items():
        assert (line.get_xdata()[0], line.get_ydata()[0]) == tuple(board.loc[method, ["seconds", "error"]])
    rows = board.reset_index().to_dict("records")
    beaten = {a["method"] for a in rows if any(b["seconds"] <= a["seconds"] and b["error"] < a["error"] for b in rows)}
    named = list(front(board.reset_index())["method"])
    assert set(named) == set(board.index) - beaten
    key = "\n".join(f"{number} {method}" for number, method in enumerate(named, 1))
    assert key in [text.get_text() for text in cost.axes[0].texts]
    assert "mean rank over 3 data sets" in ranks.axes[0].get_title()

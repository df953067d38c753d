"""The published numbers, and tables made of them alone."""

import csv
import io
from pathlib import Path

import pytest

import results
from results import ResultsError
from results.compose import published_tables
from results.methods import LITERATURE, RANDOM, SELECTION_LABELS, group_rank, selected_methods, selection_of
from results.published import PUBLISHED_DATASETS, load_published
from results.record import METRICS
from results.render import to_csv

FOLDER = Path(results.__file__).parent / "published"


@pytest.mark.parametrize("name", ["relu", "silu"])
def test_method_table_equals_the_published_file(name: str) -> None:
    table = next(t for t in published_tables() if t.name == f"published_{name}_methods")
    written = {row["method"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
    with (FOLDER / f"{name}_256x16.csv").open() as file:
        published = list(csv.DictReader(file))
    assert len(written) == len(published) == 76
    for row in published:
        ours = written[row.pop("algorithm").removeprefix("NN_")]
        for column, value in row.items():
            assert f"{float(ours[column]):.3f}" == value
    best = {row[0].value for row in table.rows if row[1 + METRICS.index("rmse")].best}
    lowest = min(float(row["log_rmse"]) for row in published)
    assert all(float(written[method]["log_rmse"]) == lowest for method in best)
    assert best == {"lcmd-tp_grad_ens-3_rp-512"}


def test_literature_ranking() -> None:
    table = next(t for t in published_tables() if t.name == "published_relu_literature")
    ranking = [row[1].value for row in table.rows]
    assert ranking[0] == LITERATURE["lcmd-tp_grad_rp-512"]
    assert ranking[1:4] == ["BAIT", "BADGE", "Core-Set / FF-Active"]
    assert ranking[-2:] == [LITERATURE[RANDOM], "BALD"]
    assert len(ranking) == 8


def test_groups_are_those_of_the_paper() -> None:
    table = next(t for t in published_tables() if t.name == "published_relu_methods")
    assert list(dict.fromkeys(table.groups)) == list(SELECTION_LABELS)
    for group in SELECTION_LABELS:
        rmse = [row[2].value for row in table.rows if selection_of(str(row[0].value)) == group]
        assert rmse == sorted(rmse)  # type: ignore[type-var]


def test_selected_methods_are_the_best_of_their_selection_among_the_published() -> None:
    for name in ("relu", "silu"):
        published = list(load_published(name)["method"])
        selected = selected_methods(name, published)
        assert len(selected) == 8
        assert sorted(map(group_rank, selected)) == list(map(group_rank, selected))
        few = [*published[:3], "mine-tp_ll"]
        assert set(selected_methods(name, few)) == set(few)


def test_names() -> None:
    assert len(set(PUBLISHED_DATASETS)) == 15
    with pytest.raises(ResultsError, match="no published numbers for 'tanh'; there are: relu, silu"):
        load_published("tanh")

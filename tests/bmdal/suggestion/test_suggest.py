"""`bmdal.suggest`: what is chosen, predicted and said."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from messy import diamonds
from sklearn.ensemble import RandomForestRegressor

import bmdal
from bmdal import BmdalError, select_batch, suggest
from bmdal.suggestion import Suggestion
from bmdal.suggestion.columns import Column
from bmdal.suggestion.limits import matches, satisfying
from bmdal.suggestion.models import importance
from bmdal.suggestion.reasons import surroundings
from bmdal.suggestion.sheet import sheet_of
from bmdal.suggestion.words import rounded, with_uncertainty


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = diamonds(500).set_index("id", drop=False)
    return frame[:80], frame[80:].drop(columns="price")


@pytest.fixture(scope="module")
def suggestion(tables: tuple[pd.DataFrame, pd.DataFrame]) -> Suggestion:
    return suggest(*tables, target="price", batch_size=6)


def test_the_batch_is_that_of_the_library(suggestion: Suggestion, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    X, y = suggestion.details.encoded.X, tables[0]["price"].to_numpy(np.float64)
    forest = RandomForestRegressor(100, random_state=0).fit(X[:80], (y - y.mean()) / y.std())
    batch = select_batch("bait-f-p_pred", forest, X[:80], None, X[80:], 6, 0)
    assert suggestion.rows.index.tolist() == tables[1].index[batch.indices.numpy()].tolist()
    pd.testing.assert_frame_equal(suggestion.rows, tables[1].loc[suggestion.rows.index], check_dtype=False)
    np.testing.assert_allclose(suggestion.predictions["predicted price"], y.mean() + y.std() * forest.predict(X[80:]))
    spread = np.std([tree.predict(X[80:].astype(np.float32)) for tree in forest.estimators_], axis=0, ddof=1) * y.std()
    assert suggestion.details.validation is not None
    expected = spread * suggestion.details.validation.scale[0]
    np.testing.assert_allclose(suggestion.predictions["uncertainty of price"], expected)
    assert suggestion.expected_errors == pytest.approx([np.sqrt(np.mean(expected**2))])


def test_uncertainties_are_as_large_as_errors(suggestion: Suggestion) -> None:
    validation = suggestion.details.validation
    assert validation is not None
    np.testing.assert_allclose(np.sqrt(((validation.scale * validation.spreads) ** 2).mean(axis=0)), validation.rmse)
    assert sorted(validation.rows) == list(range(80))
    assert 0.4 < validation.within[0] < 1


def test_the_same_again_and_nothing_changed(suggestion: Suggestion, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    copies = [table.copy() for table in tables]
    again = suggest(*tables, target="price", batch_size=6)
    pd.testing.assert_frame_equal(again.table, suggestion.table)
    for table, copy in zip(tables, copies, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_reasons_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    Z, chosen, places = rng.normal(size=(60, 4)), np.array([3, 17, 5]), (slice(0, 2), slice(2, 3), slice(3, 4))
    around = surroundings(Z, 20, chosen, places, [0.4, 0.3, 0.3])
    assert around.neighbour is not None
    counts = np.zeros(3, dtype=int)
    for row in range(40):
        centres = [*range(20), *(20 + chosen)]
        nearest = int(np.argmin([np.linalg.norm(Z[20 + row] - Z[c]) for c in centres]))
        if nearest >= 20 and row not in chosen:
            counts[nearest - 20] += 1
    assert around.stands_for.tolist() == counts.tolist()
    for i, row in enumerate(chosen):
        distances = [np.linalg.norm(Z[20 + row] - z) for z in Z[:20]]
        assert around.neighbour[i] == np.argmin(distances)
        shares = [((Z[20 + row] - Z[around.neighbour[i]])[place] ** 2).sum() for place in places]
        assert around.differs[i][0] == np.argmax(shares)
    without_first = surroundings(Z, 20, chosen, places, [0.0, 0.5, 0.5])
    assert all(0 not in columns for columns in without_first.differs)
    assert without_first.stands_for.tolist() == counts.tolist()


def test_importance_of_what_matters_and_what_does_not() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    places = (slice(0, 1), slice(1, 3), *(slice(i, i + 1) for i in range(3, 12)))
    shares = importance(X, 3 * X[:, :1] + 2 * X[:, 1:2], places, 0)
    assert sum(shares) == pytest.approx(1)
    assert np.argsort(shares)[::-1][:2].tolist() == [0, 1]
    assert max(shares[2:]) < 0.05 < shares[1]
    assert min(shares) >= 0.02 / 11 - 1e-12


def test_reasons_name_what_both_tables_hold(suggestion: Suggestion, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for row, reason in suggestion.reasons.items():
        pairs = re.findall(r"(\w+) \(([^,()]+), nearest ([^()]+)\)", reason)
        assert pairs, reason
        for name, value, nearest in pairs:
            shown = [str(v) if isinstance(v, str) else f"{v:.6g}" for v in tables[0][name]]
            cell: Any = suggestion.rows.loc[row, name]
            assert value == (cell if isinstance(cell, str) else f"{cell:.6g}")
            assert nearest in shown


def test_one_table_is_the_same_as_two(suggestion: Suggestion, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Candidates with a target count as labelled."""
    one = suggest(None, pd.concat(tables), target="price", batch_size=6)
    assert one.rows.index.tolist() == suggestion.rows.index.tolist()
    assert one.changed[0] == "80 rows of candidates with 'price' count as labelled"


def test_restrictions(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    candidates = candidates.assign(supplier=np.arange(len(candidates)) % 7, fee=1.0 + np.arange(len(candidates)) % 5)
    batch = suggest(
        labelled, candidates, target="price", batch_size=7, constraints=["carat <= 1", "cut != Ideal"],
        group="supplier", cost="fee", exclude=candidates[["id"]][:200],
    )  # fmt: skip
    rows = batch.rows
    assert (rows["carat"] <= 1).all()
    assert (rows["cut"] != "Ideal").all()
    assert rows["supplier"].is_unique
    assert not set(rows["id"]) & set(candidates["id"][:200])
    assert "only in candidates, so not used: 'supplier'" in batch.changed
    assert "fee" not in [column.name for column in batch.details.prepared.columns]
    assert "200 candidates left out: equal to a row of exclude in id" in batch.changed


def test_several_targets_without_enough_labels_to_simulate(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    batch = suggest(labelled[:25], candidates.drop(columns="x"), target=["price", "x"], batch_size=3)
    assert batch.predictions.columns.tolist() == [
        "predicted price", "uncertainty of price", "predicted x", "uncertainty of x",
    ]  # fmt: skip
    assert batch.table.columns[-8:-5].tolist() == ["z", "price", "x"]
    assert batch.doubts[0].startswith("only 25 labelled rows")
    assert batch.outlook is not None
    assert batch.outlook.gain is None
    assert "needs at least 40 labelled rows" in batch.outlook.no_gain
    assert "price, predicted" in batch.report()


def test_without_labels_to_learn_from(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    design = suggest(None, candidates, batch_size=5)
    assert design.predictions.shape == (420, 0)
    assert design.choice.method.name == "lcmd-p_linear"
    constant = suggest(labelled.assign(price=7), candidates, target="price", batch_size=5)
    assert constant.doubts[0] == "'price' is the same in all labelled rows: nothing can be learned about it"
    assert constant.outlook is None
    assert constant.choice.method.name == "lcmd-tp_linear"
    assert "Will it pay" not in constant.report()
    with pytest.raises(BmdalError, match="needs a model, and there is nothing to learn from: use 'lcmd-p_linear'"):
        suggest(None, candidates, batch_size=5, method="bait-f-p_pred")


def test_doubts_about_leaks_and_ranges(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    ordered = labelled.sort_values("price").assign(id=np.arange(80), twice=lambda frame: 2 * frame["price"] + 1)
    far = candidates.assign(id=np.arange(420) + 80, twice=0.0, depth=candidates["depth"] + 100)
    doubts = " ".join(suggest(ordered, far, target="price", batch_size=3, method="random").doubts)
    assert "'id' goes with 'price' (rank correlation 1.00): the table seems to be sorted" in doubts
    assert "'twice' goes with 'price' almost perfectly" in doubts
    assert "'depth' (100 % of candidates; labelled: " in doubts


@pytest.mark.thorough
def test_dates_with_gaps() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"day": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 300, 80), unit="D")})
    frame["y"] = (frame["day"] - pd.Timestamp("2025-01-01")).dt.days.astype(float)
    frame.loc[::9, "day"] = pd.NaT
    batch = suggest(frame[:35], frame[35:].drop(columns="y"), target="y", batch_size=3, method="random")
    assert any("'day' goes with 'y' almost perfectly" in doubt for doubt in batch.doubts)
    assert re.search(r">2025-0[12]-\d\d</text><text[^>]*>2025-1[01]-\d\d</text>", batch.report())


def test_labelled_rows_are_not_suggested_again(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    both = pd.concat([labelled.drop(columns="price")[:10], candidates[:5]])
    batch = suggest(labelled, both, target="price", batch_size=5, method="random")
    assert sorted(batch.rows["id"]) == sorted(candidates["id"][:5])


def test_errors_name_what_is_wrong(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    wrong = labelled["price"].astype(object)
    wrong.iloc[7] = "abc"
    cases: list[tuple[str, pd.DataFrame | None, pd.DataFrame, dict[str, Any]]] = [
        ("the target 'price' must hold numbers, row 8 below the names has 'abc'", labelled.assign(price=wrong),
         candidates, {}),
        ("no inputs in common", labelled[["price"]].assign(a=1), candidates, {}),
        ("all rows have 'price' already", None, labelled, {}),
        ("no row has 'price'", None, candidates.assign(price=np.nan), {}),
        ("unknown selection method 'nonsense'", labelled, candidates, {"method": "nonsense"}),
        ("needs the model 'network'; for 'forest' the kernel must be 'pred' or 'linear'", labelled, candidates,
         {"method": "lcmd-tp_grad_rp-512"}),
        ("the cost 'cut' must hold numbers", labelled, candidates, {"cost": "cut"}),
        ("the cost 'fee' must be greater than 0", labelled, candidates.assign(fee=0.0), {"cost": "fee"}),
        ("the group 'g' is empty in row 1 below the names and 419 more", labelled, candidates.assign(g=""),
         {"group": "g"}),
        ("'carat' holds numbers, and 'much' is none", labelled, candidates, {"constraints": ["carat < much"]}),
        ("'cut' holds words, which only = and != can compare", labelled, candidates, {"constraints": ["cut < Ideal"]}),
        ("no column in common", labelled, candidates, {"exclude": pd.DataFrame({"other": [1]})}),
        ("column is left", labelled[["id", "price"]], candidates[["id"]], {}),
    ]  # fmt: skip
    for message, *given, options in cases:
        with pytest.raises(BmdalError, match=re.escape(message)):
            suggest(*given, target="price", batch_size=5, **options)


def test_constraints_on_dates_and_decimal_commas() -> None:
    table = sheet_of("t", pd.DataFrame({"a b": ["1,5", "2,5", ""], "day": ["31.01.2026", "01.02.2026", "02.02.2026"]}))
    assert satisfying(table, "a b >= 2,5").tolist() == [False, True, False]
    assert satisfying(table, "day<2026-02-01").tolist() == [True, False, False]
    assert satisfying(table, "day<2026-02-01T01:00+01:00").tolist() == [True, False, False]


def test_matching_rows() -> None:
    words = (pd.Series(["a", "b", None], dtype=object), pd.Series([None, "b", "b"], dtype=object))
    numbers = (pd.Series([1.0, 2.0, np.nan]), pd.Series([np.nan, 2.0, 3.0]))
    assert matches([Column("w", "category", words), Column("n", "number", numbers)]).tolist() == [2, 1, -1]


def test_rows_are_equal_whatever_type_their_numbers_and_dates_have() -> None:
    """Candidates from Parquet, labelled rows from a CSV file that was written from some of them."""
    rng = np.random.default_rng(0)
    candidates = pd.DataFrame({"a": rng.normal(size=60).astype(np.float32), "b": rng.integers(0, 9, 60)})
    candidates["day"] = pd.date_range("2026-01-01 10:00", periods=60, freq="h").as_unit("ms")
    text = candidates[:30].to_csv(index=False)
    labelled = pd.read_csv(io.StringIO(text)).assign(y=rng.normal(size=30))
    options: dict[str, Any] = {"target": "y", "batch_size": 30, "method": "random"}
    for known in (labelled, labelled.assign(day=pd.to_datetime(labelled["day"]).dt.as_unit("ns"))):
        batch = suggest(known, candidates, **options)
        assert sorted(batch.rows.index) == list(range(30, 60))


def test_rows_of_an_earlier_round_that_were_appended_with_what_was_said_of_them() -> None:
    """The columns that only they have say nothing about candidates."""
    y = [1.0 * (i % 7) if i < 40 else np.nan for i in range(60)]
    table = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60) % 3, "y": y})
    measured = table[40:50].assign(y=np.arange(10.0), reason="far from others")
    batch = suggest(None, pd.concat([table, measured], ignore_index=True), target="y", batch_size=10, method="random")
    assert sorted(batch.rows["a"]) == list(range(50, 60))


def test_numbers_in_words() -> None:
    assert [rounded(v) for v in (1283.867, 0.0012345, 12.0, 0.0, 1e12)] == ["1,280", "0.00123", "12.0", "0", "1e+12"]
    assert with_uncertainty(8578.58, 4041.36) == "8,600 ± 4,000"
    assert with_uncertainty(0.12345, 0.0123) == "0.123 ± 0.012"


def test_the_module_imports_it_on_demand() -> None:
    assert bmdal.suggest is suggest
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        bmdal.nothing  # noqa: B018


@pytest.mark.thorough
@pytest.mark.parametrize("model", ["lightgbm", "network"])
def test_other_models(model: str, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    labelled, candidates = tables
    batch = suggest(labelled, candidates.drop(columns="x"), target=["price", "x"], batch_size=4, model=model)
    assert len(batch.rows) == 4
    price = diamonds(500).set_index("id").loc[candidates["id"], "price"]
    assert np.corrcoef(batch.predictions["predicted price"], price)[0, 1] > 0.8
    assert batch.outlook is not None
    assert batch.outlook.gain is not None
    assert np.isfinite(batch.outlook.gain.differences).all()


@pytest.mark.thorough
def test_the_learning_curve_and_the_gain(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    outlook = suggest(*tables, target="price", batch_size=6).outlook
    assert outlook is not None
    assert outlook.n.tolist() == [8, 16, 32, 64]
    assert outlook.mean_errors[-1] < outlook.mean_errors[0]
    slope = min(np.polyfit(np.log(outlook.n), np.log(outlook.mean_errors), 1)[0], 0)
    assert float(outlook.at(86)) == pytest.approx(outlook.mean_errors[-1] * (86 / 64) ** slope)
    assert outlook.gain is not None
    assert outlook.with_batch == pytest.approx(float(outlook.at(86)) * np.exp(outlook.gain.differences.mean()))

"""What would be silently wrong: everything here is said, or refused with the name of what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bmdal import BmdalError
from bmdal.suggestion.columns import Column, read_column
from bmdal.suggestion.files import as_csv, check_writable
from bmdal.suggestion.history import LOG, Round, as_log, check_history, read_history
from bmdal.suggestion.limits import satisfying
from bmdal.suggestion.prepare import Prepared, prepare
from bmdal.suggestion.sheet import read_sheet, sheet_of

N = 12


def table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"{seed}-S{i}" for i in range(n)], "mass": rng.normal(size=n).round(4)})
    return frame.assign(kind=rng.choice(["Pt", "Pd"], n))


LABELLED, CANDIDATES = table(N, 1).assign(y=np.random.default_rng(0).normal(size=N).round(4)), table(30, 2)


def prepared(
    labelled: pd.DataFrame | None = LABELLED, candidates: pd.DataFrame = CANDIDATES, targets: Any = ("y",), **more: Any
) -> Prepared:
    first = None if labelled is None else sheet_of("labelled", labelled)
    return prepare(first, sheet_of("candidates", candidates), targets, 3, **more)


def read(*parts: list[Any]) -> Column:
    return read_column("c", [sheet_of("t", pd.DataFrame({"c": part})) for part in parts])


@pytest.mark.parametrize("other", [["1 cm", "2 cm"], ["1", "2"], [1.0, 2.0]])
def test_units_that_differ_between_tables(other: list[Any]) -> None:
    column = read(["12 mm", "3 mm"], other)
    assert column.kind == "category"
    assert "its numbers have different units, or some have none" in column.doubts[0]
    assert read(["12 mm", "3 mm"], ["1 mm"]).kind == "number"


def test_the_unit_of_a_target_is_said() -> None:
    found = prepared(LABELLED.assign(y=LABELLED["y"].map("{} mg".format)))
    np.testing.assert_array_equal(found.Y[:, 0], LABELLED["y"])
    assert "the target 'y': read as numbers: the unit 'mg', left out" in found.changed


@pytest.mark.parametrize(
    ("bad", "said"),
    [("inf", "numbers, row 2"), (np.inf, "numbers up to 1e+100, row 2"), (1e300, "up to 1e+100, row 2")],
)
def test_targets_that_are_not_finite(bad: Any, said: str) -> None:
    y = LABELLED["y"].astype(object if isinstance(bad, str) else float).copy()
    y.iloc[1] = bad
    with pytest.raises(BmdalError, match=re.escape(said)):
        prepared(LABELLED.assign(y=y))


def test_columns_that_only_labelled_rows_have_values_of() -> None:
    """A result that is known only after measuring is no input."""
    found = prepared(None, pd.concat([LABELLED.assign(yield_=2 * LABELLED["y"]), CANDIDATES]))
    assert "'yield_': dropped: empty in the candidates" in found.changed
    assert [column.name for column in found.columns] == ["mass", "kind"]


def test_a_copy_of_the_target_with_few_rows() -> None:
    found = prepared(LABELLED.assign(copy=-3 * LABELLED["y"]), CANDIDATES.assign(copy=0.5))
    assert any("'copy' goes with 'y' almost perfectly (rank correlation -1.000)" in doubt for doubt in found.doubts)


def test_labelled_rows_given_twice_count_once() -> None:
    found = prepared(candidates=pd.concat([CANDIDATES, LABELLED[:4]]))
    assert len(found.Y) == N
    assert found.changed[:2] == (
        "4 rows of candidates with 'y' count as labelled", "4 of these left out: equal to a row of labelled",
    )  # fmt: skip
    other = prepared(candidates=pd.concat([CANDIDATES, LABELLED[:4].assign(y=7.5)]))  # measured again
    assert len(other.Y) == N + 4
    twice = prepared(pd.concat([LABELLED, LABELLED[:1]]))
    assert any("1 labelled row with the same cells as another" in doubt for doubt in twice.doubts)


def test_rows_with_only_some_targets() -> None:
    one = pd.concat([LABELLED.assign(z=np.where(np.arange(N) < 3, np.nan, 1.5)), CANDIDATES])
    found = prepared(None, one, ("y", "z"))
    assert len(found.Y) == N - 3
    assert found.changed[0] == "3 candidates with only some of 'y' and 'z': these values are not used"


def test_long_keys_stay_different() -> None:
    keys = [12345678901234560 + i for i in range(30)]
    for written in (keys, list(map(str, keys))):
        done = sheet_of("done", pd.DataFrame({"key": written[1:2]}))
        found = prepared(candidates=CANDIDATES.assign(key=written), exclude=done)
        assert found.candidates.cells["key"].tolist() == written[:1] + written[2:]
    assert read(["007", "8"]).changed == ("read as numbers: leading zeros, left out",)


def test_excluded_rows_may_have_a_target() -> None:
    one = pd.concat([LABELLED, CANDIDATES])
    found = prepared(None, one, exclude=sheet_of("done", CANDIDATES[:10].assign(y=1.0)))
    assert "10 candidates left out: equal to a row of done in id, mass, kind" in found.changed
    nothing = prepared(exclude=sheet_of("done", pd.DataFrame({"id": ["unknown"]})))
    assert "done excludes nothing: no candidate equals one of its rows in id" in nothing.doubts


def test_constraints_as_people_write_them() -> None:
    cells = pd.DataFrame({'T "in" (°C)': [1.0, 2.0, 3.0], "kind": ["Pt", "Pd", ""]})
    sheet = sheet_of("t", cells)
    assert satisfying(sheet, 'T "in" (°C) >= 2').tolist() == [False, True, True]
    assert satisfying(sheet, "'kind' != pt").tolist() == [False, True, False]
    with pytest.raises(BmdalError, match=r"unknown value 'Pz'. Did you mean 'Pt'"):
        satisfying(sheet, "kind = Pz")
    with pytest.raises(BmdalError, match="'2 K' is none; leave out units"):
        satisfying(sheet, 'T "in" (°C) <= 2 K')


def test_nothing_is_left() -> None:
    with pytest.raises(
        BmdalError, match=r"no candidate is left; 30 candidates left out: not known to satisfy mass > 9"
    ):
        prepared(constraints=["mass > 9"])


def test_names_that_differ_in_capitals_and_tables_in_the_wrong_order() -> None:
    found = prepared(LABELLED.rename(columns={"mass": " Mass"}))
    assert "only in labelled, so not used: ' Mass'" in found.changed
    assert "' Mass' of labelled and 'mass' of candidates: if they are the same column, give them" in found.doubts[1]
    with pytest.raises(BmdalError, match="labelled: unknown column 'y'"):
        prepared(CANDIDATES, LABELLED)


@pytest.mark.parametrize(("option", "word"), [("group", "empty"), ("cost", "greater than 0")])
def test_rows_are_numbered_as_in_the_file(option: str, word: str, tmp_path: Path) -> None:
    """Below the names, whatever was left out before."""
    text = pd.concat([LABELLED, CANDIDATES.assign(fee=3)]).to_csv(index=False).replace(",3.0\n", ",3\n")
    lines = text.splitlines()
    lines[20:20] = ["", ",,,,"]
    lines[-1] = lines[-1].removesuffix("3")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    sheet = read_sheet(tmp_path / "t.csv")
    assert "t.csv: 2 empty rows left out" in sheet.notes
    with pytest.raises(BmdalError, match=f"{word}.* row {len(lines) - 1} below the names"):
        prepare(None, sheet, ["y"], 3, ["mass > -9"], **{option: "fee"})


@pytest.mark.parametrize("first", ["\n\n", "sep=;\n", '"sep=;"\r\n', "\ufeff"])
def test_lines_above_the_names(first: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(first + "a;b\n1;2\n3;\n\n\n", newline="")
    sheet = read_sheet(tmp_path / "t.csv")
    assert sheet.names == ["a", "b"]
    assert sheet.cells.to_numpy().tolist() == [["1", "2"], ["3", ""]]


def test_a_title_above_the_names_and_an_open_quotation_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n1,2\n"3,4\n')
    with pytest.raises(BmdalError, match="a quotation mark is not closed"):
        read_sheet(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("Report\n\na,b\n1,2\n")
    with pytest.raises(BmdalError, match="which names 1 column: 'Report'; delete titles above the names"):
        read_sheet(tmp_path / "t.csv")


def test_what_excel_files_have(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")

    def write(*rows: list[Any]) -> Path:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    with pytest.raises(BmdalError, match="two columns are called 'a'"):
        read_sheet(write(["a", "a"], [1, 2]))
    sheet = read_sheet(write([2020, None], [1, "NA"], [None, " "], [2, "b"]))
    assert sheet.names == ["2020", "column 2"]
    assert sheet.cells.to_numpy().tolist() == [[1, "NA"], [2, "b"]]
    assert sheet.notes[1:] == (
        "t.xlsx: 1 empty row left out", "t.xlsx: without a name in the first line, so called 'column 2'",
    )  # fmt: skip


def test_what_parquet_files_have(tmp_path: Path) -> None:
    CANDIDATES.set_index("id").to_parquet(tmp_path / "t.parquet")
    assert read_sheet(tmp_path / "t.parquet").names == ["id", "mass", "kind"]
    CANDIDATES.assign(v=[[1, 2]] * 30).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BmdalError, match="the column 'v' holds lists"):
        read_sheet(tmp_path / "t.parquet")


def test_dates_of_two_tables() -> None:
    days = [pd.Timestamp(2025, 1 + i % 12, 13 + i) for i in range(12)]
    for one, other in (("%Y-%m-%d", "%d.%m.%Y"), ("%d %b %Y", "%B %d, %Y"), ("%m/%d/%Y", "%Y/%m/%d")):
        column = read([day.strftime(one) for day in days], [day.strftime(other) for day in days])
        assert [part.tolist() for part in column.parts] == [days, days]
        assert not column.doubts
    assert read([day.strftime("%d.%m.%Y") for day in days]).changed == ("read as dates, day first",)
    both = read([day.strftime("%d/%m/%Y") for day in days], [day.strftime("%m/%d/%Y") for day in days])
    assert "could have the day or the month first" in both.doubts[0]
    mixed = read([day.strftime(form) for day in days for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y")])
    assert mixed.kind != "date"
    assert "dates are written in several ways" in mixed.doubts[-1]


def test_values_that_models_cannot_compute_with() -> None:
    column = read([1.0, 1e300, -np.inf, 2.0])
    assert column.values.isna().tolist() == [False, True, True, False]
    assert column.changed == ("2 values infinite or beyond 1e+30 in size, read as missing",)


def a_round(**changes: Any) -> Round:
    first = {"rmse": {"y": 1.0}, "expected": {"y": 2.0}, "columns": ["a"], "chosen": [["x\u2028y\x85z"]]}
    sizes = {"labelled": "l", "candidates": "c", "decimal": ".", "model": "forest", "method": "random", "n_labelled": 5}
    return Round(
        **{**first, **sizes, "n_candidates": 9, "predicted": {"y": [1.0]}, "uncertainty": {"y": [1.0]}, **changes}
    )


def test_logs(tmp_path: Path) -> None:
    text = as_log([a_round(), a_round()])
    (tmp_path / LOG).write_text(text + "\n", encoding="utf-8")
    assert read_history(tmp_path) == (a_round(), a_round())
    bad = [b"\xff\xfe\x00", text[:-20].encode(), b"null", *(
        as_log([a_round(**changes)]).encode() for changes in ({"rmse": 5}, {"chosen": "x"}, {"predicted": {"y": []}})
    )]  # fmt: skip
    for raw in bad:
        (tmp_path / LOG).write_bytes(raw)
        with pytest.raises(BmdalError, match=r"log.jsonl: line \d is damaged"):
            read_history(tmp_path)
    check_history([a_round(), a_round(rmse={})], ["y", "z"], ["a", "b"], tmp_path)
    with pytest.raises(BmdalError, match="round 2 is about the targets 'y', not 'z'; use another folder"):
        check_history([a_round(rmse={}), a_round()], ["z"], ["a"], tmp_path)
    with pytest.raises(BmdalError, match="round 1 is about the columns 'a', not 'b'"):
        check_history([a_round()], ["y"], ["b"], tmp_path)


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "a.csv")
    (tmp_path / "file").touch()
    (tmp_path / "a.csv").mkdir()
    for path, message in ((tmp_path / "file" / "a.csv", "file is a file"), (tmp_path / "a.csv", "a.csv is a folder")):
        with pytest.raises(BmdalError, match=message):
            check_writable(path)


@pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", ","), (",", ",")])
def test_what_is_written_is_read_again(separator: str, decimal: str, tmp_path: Path) -> None:
    notes = ["a;b", 'x,"y"', "l1\nl2", "r1\r\nr2", "ü°", ""] * 2
    frame = LABELLED.assign(note=notes, code=[f"{i:04d}" for i in range(N)])
    (tmp_path / "t.csv").write_text(as_csv(frame, separator, decimal), encoding="utf-8", newline="")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf")  # there are letters beyond ASCII
    types: dict[str, Any] = {"note": str, "code": str}
    again = pd.read_csv(tmp_path / "t.csv", sep=separator, decimal=decimal, dtype=types, keep_default_na=False)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False)
    assert not as_csv(frame[["id"]], separator, decimal).startswith("\ufeff")

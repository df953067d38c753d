"""Tables as people have them: files, numbers, dates, words, ids."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bmdal import BmdalError
from bmdal.suggestion.columns import Column, is_id_name, numbers_rows, read_column
from bmdal.suggestion.decimals import as_numbers, is_number
from bmdal.suggestion.encode import encode
from bmdal.suggestion.sheet import read_sheet, sheet_of


@pytest.mark.parametrize(
    ("words", "decimal", "values", "changed"),
    [
        (["1.5", "-2", "1e3"], ".", [1.5, -2, 1000], ()),
        (["1,5", "2,75", "1.234,5"], ".", [1.5, 2.75, 1234.5], ("decimal comma", "thousands separators")),
        (["1,234", "2,345"], ".", [1234, 2345], ("thousands separators",)),
        (["1,234", "2,345"], ",", [1.234, 2.345], ("decimal comma",)),
        (["1.234", "2"], ",", [1234, 2], ("thousands separators",)),
        (["1,500", "2,7"], ".", [1.5, 2.7], ("decimal comma",)),
        (["1 234", "5\u202f678"], ".", [1234, 5678], ("thousands separators",)),
        (["12 mm", "3.5mm"], ".", [12, 3.5], ("the unit 'mm', left out",)),
        (["€ 1.200", "€ 300"], ",", [1200, 300], ("thousands separators", "the unit '€', left out")),
        (["<0.5", "3"], ".", [np.nan, 3], ()),
        (["1.2.3", "12.05.2024", "A7"], ".", [np.nan] * 3, ()),
    ],
)
def test_numbers(words: list[str], decimal: str, values: list[float], changed: tuple[str, ...]) -> None:
    read = as_numbers(words, decimal)
    np.testing.assert_array_equal(read.values, values)
    assert read.changed == changed


def test_different_units_are_named_and_not_read() -> None:
    read = as_numbers(["12 mm", "3 cm", "4"], ".")
    assert read.units == ("cm", "mm")
    np.testing.assert_array_equal(read.values, [np.nan, np.nan, 4])
    column = read_column("length", [sheet_of("t", pd.DataFrame({"length": ["12 mm", "3 cm"] * 10}))])
    assert column.kind == "category"
    assert "different units, or some have none ('cm', 'mm')" in column.doubts[0]


def test_what_counts_as_a_number() -> None:
    assert [is_number(word) for word in ("-12.5", "-1,5", "+3", "=1", "-a", "12 mm")] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings(separator: str, encoding: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"größe": ["a;b|c", "d,e\tf", "g"] * 5, "n": ["1", "2", "3"] * 5})
    frame.to_csv(tmp_path / "t.csv", sep=separator, index=False, encoding=encoding)
    sheet = read_sheet(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(sheet.cells, frame, check_dtype=False)
    assert sheet.separator == separator
    assert "15 rows, 2 columns" in sheet.notes[0]


def test_the_decimal_mark_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1,5;1,234\n2,25;2,345\n")
    sheet = read_sheet(tmp_path / "t.csv")
    assert sheet.decimal == ","
    np.testing.assert_array_equal(read_column("b", [sheet]).values, [1.234, 2.345])


def test_excel_and_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "day": pd.to_datetime(["2026-01-31", "2026-02-01"]), "w": ["x", "y"]})
    frame.to_parquet(tmp_path / "t.parquet")
    files = ["t.parquet"]
    if importlib.util.find_spec("openpyxl"):
        frame.to_excel(tmp_path / "t.xlsx", index=False)
        files.append("t.xlsx")
    for file in files:
        sheet = read_sheet(tmp_path / file)
        kinds = {name: read_column(name, [sheet]).kind for name in sheet.names}
        assert kinds == {"a": "number", "day": "date", "w": "category"}, file
        np.testing.assert_array_equal(read_column("a", [sheet]).values, [1.5, 2.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a,b\n", "no rows below"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n1,2\n1,2,3\n", "t.csv: "),
        ("a,b\n1,2,3\n1,2,3\n", "more cells than the first line, which names 2"),
    ],
)
def test_tables_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BmdalError, match=re.escape(message)):
        read_sheet(tmp_path / "t.csv")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"PK\0\0")
    for name, message in (("t.csv", "not a text file"), ("t.docx", "save it as .csv, .tsv, .txt, .parquet")):
        with pytest.raises(BmdalError, match=message):
            read_sheet(tmp_path / name)
    for suffix in ("parquet", "xlsx"):
        (tmp_path / f"t.{suffix}").write_bytes(b"no")
        with pytest.raises(BmdalError, match=f"not a readable {suffix} file|pip install openpyxl"):
            read_sheet(tmp_path / f"t.{suffix}")
    with pytest.raises(FileNotFoundError):
        read_sheet(tmp_path / "none.csv")


def column(values: list[object], name: str = "c") -> Column:
    return read_column(name, [sheet_of("t", pd.DataFrame({name: values}))])


def test_dates() -> None:
    for words in (["2026-01-31", "2026-02-01 12:30"], ["31.01.2026", "1.2.2026"], ["01/31/2026", "02/01/2026"]):
        read = column(words * 5)
        assert read.kind == "date"
        assert read.values[0] == pd.Timestamp("2026-01-31")
        assert not read.doubts
    with_time = column(["31.01.2026 08:15", "01.02.2026 23:59"])
    assert with_time.values[1] == pd.Timestamp("2026-02-01 23:59")
    assert "day or the month first" in column(["01/02/2026", "03/04/2026"]).doubts[0]
    read = column([f"2026-0{1 + i % 9}-1{i % 7}" for i in range(30)])
    X = encode([read]).X
    assert X.shape == (30, 3)  # days, month, weekday
    assert X[0, 0] - X[1, 0] == (read.values[0] - read.values[1]).days


def test_types_of_pandas() -> None:
    typed = {
        "integers": pd.array([1, None, 3], dtype="Int64"),
        "levels": pd.Categorical(["b", None, "a"]),
        "flags": pd.array([True, None, False], dtype="boolean"),
        "times": pd.Series(pd.to_datetime(["2026-01-31 01:00+01:00", None, "2026-02-02 00:00Z"], utc=True)),
    }
    sheet = sheet_of("t", pd.DataFrame(typed))
    columns = {name: read_column(name, [sheet]) for name in typed}
    assert [one.kind for one in columns.values()] == ["number", "category", "category", "date"]
    assert all(one.values.isna().tolist() == [False, True, False] for one in columns.values())
    assert columns["times"].values[0] == pd.Timestamp("2026-01-31")
    assert columns["flags"].values[2] == "False"


def test_missing_values_and_spellings() -> None:
    read = column(["a", "A", "a", " a ", "N/A", "-", "", None, "b", "b"])
    assert read.kind == "category"
    assert read.values.fillna("missing").tolist() == [*"aaaa", *["missing"] * 4, *"bb"]
    assert read.changed == (
        "'-' read as missing",
        "spellings that differ only in capitals made one (1, such as 'A as a')",
    )
    typos = column(["Ideal"] * 50 + ["Idael"] * 2 + ["Fair"] * 40)
    assert typos.doubts == ("levels look alike and count as different, typos? 'Idael' (2) and 'Ideal' (50)",)
    odd = column([*map(str, range(99)), "n.d."])
    assert odd.kind == "number"
    assert odd.values.isna().sum() == 1
    assert odd.changed == ("read as numbers: 1 value not a number, such as 'n.d.', read as missing",)
    mixed = column(["1", "2", "3", "high"] * 5)
    assert mixed.kind == "category"
    assert mixed.doubts == ("only 75 % of its values are numbers, others are 'high', so none is read as a number",)


def test_ids_text_and_categories() -> None:
    assert column([f"S{i}" for i in range(100)]).kind == "id"
    assert column([f"this is sentence number {i}" for i in range(100)]).kind == "text"
    assert column([f"city {i % 7}" for i in range(100)]).kind == "category"
    assert numbers_rows(column(list(range(100)), "anything"))
    assert numbers_rows(column([7 * i for i in range(100)], "sample id"))
    assert not numbers_rows(column([7 * i for i in range(100)], "mass"))
    assert not numbers_rows(column([0.5 * i for i in range(100)], "id"))
    assert [is_id_name(n) for n in ("id", "sample_id", "sampleID", "Row", "Unnamed: 0", "width", "paid", "acid")] == (
        [True] * 5 + [False] * 3
    )


def test_large_numbers_keep_their_digits_in_forests() -> None:
    """Seconds of an hour in 2026, which float32 would round to 128."""
    seconds = 1.77e9 + np.arange(3600)
    X = encode([column(seconds.tolist(), "time"), column(["2026-01-31"] * 5 + ["2026-02-01"] * 3595, "day")]).X
    assert len(np.unique(X[:, 0].astype(np.float32))) == 3600


def test_encoding_and_distances() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    columns = [
        column([None, *rng.normal(size=n - 1)], "number"),
        column(rng.choice(["a", "b", "c"], n, p=[0.6, 0.3995, 0.0005]).tolist() + ["d", "e"][:0], "category"),
        column([f"word{i % 5} and word{i % 3} and more {i}" for i in range(n)], "text"),
    ]
    encoded = encode(columns)
    assert [columns[i].kind for i in range(3)] == ["number", "category", "text"]
    assert encoded.X.shape[1] == encoded.places[-1].stop
    np.testing.assert_array_equal(encoded.X[0, :2], [0, 1])  # filled with the median, and marked
    np.testing.assert_allclose(encoded.X[1:, 0], columns[0].values[1:] - np.nanmedian(columns[0].values))
    Z = encoded.distances_of([0.5, 0.3, 0.2])
    for place, weight in zip(encoded.places, (0.5, 0.3, 0.2), strict=True):
        assert Z[:, place].var(axis=0).sum() == pytest.approx(weight, rel=0.02)

"""What becomes of each column of an own table: it is said, and what looks like a mistake is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import Notes

from data_prep import DataError, DataSet, PreparedData, load_prepared, prepare, rows
from data_prep import __main__ as command
from data_prep.account import Column

N = 2000


@pytest.fixture
def frame() -> pd.DataFrame:
    r = np.random.default_rng(0)
    return pd.DataFrame({"a": r.random(N), "b": r.random(N), "y": r.random(N)})


def prepared(folder: Path, frame: pd.DataFrame, suffix: str = "csv", **fields: object) -> tuple[PreparedData, str]:
    """The set made from the frame, and all that was said."""
    path, notes = folder / f"own.{suffix}", Notes()
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    dataset = DataSet(**{"name": "own", "target": "y", "path": str(path), **fields})  # type: ignore[arg-type]
    return prepare(dataset, folder, overwrite=True, progress=notes), "\n".join(notes.texts)


def warnings(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("warning: ")]


def with_words(frame: pd.DataFrame, column: str, *words: str) -> pd.DataFrame:
    """The frame with words instead of the first numbers of a column."""
    values = frame[column].astype(str).to_numpy(dtype=object)
    values[: len(words)] = words
    return frame.assign(**{column: values})


def test_every_fate_is_said_and_kept(tmp_path: Path, frame: pd.DataFrame) -> None:
    """In a line for each fate when the set is prepared, in meta.json for each column."""
    frame = frame.assign(
        id=range(N),
        same=1,
        town=np.resize(["Bonn", "Ulm", "Köln"], N),
        flag=np.resize([True, False], N),
        name=[f"nobody {i}" for i in range(N)],
        rooms=np.resize([1, 2, 3, 4], N),
        when=1.7e9 + np.random.default_rng(1).standard_normal(N),
    )
    frame.loc[:9, "b"] = np.nan
    frame.loc[3, "same"] = 2
    data, said = prepared(tmp_path, frame, drop="id", categorical="rooms")
    centre = float(frame["when"][10:].median())
    assert said.splitlines()[1:9] == [
        "own: 10 columns in the table",
        "     1 target: 'y'",
        "     2 numbers: 'a', 'b'",
        f"     1 number, centred for float32: 'when' (less {centre!r})",
        "     3 categories: 'town' (3 values, 4 columns), 'flag' (2 values, 2 columns), 'rooms' (4 values, 5 columns)",
        "     1 left out, constant on the kept rows: 'same'",
        "     1 left out, too many values: 'name' (1,990 values)",
        "     1 left out, by `drop`: 'id'",
    ]
    assert [(c.name, c.fate, c.features) for c in load_prepared(tmp_path, "own").meta.columns] == [
        ("a", "number", (0, 1)),
        ("b", "number", (1, 2)),
        ("y", "target", None),
        ("id", "drop", None),
        ("same", "constant", None),
        ("town", "category", (5, 9)),
        ("flag", "category", (3, 5)),
        ("name", "too many values", None),
        ("rooms", "category", (9, 14)),
        ("when", "number", (2, 3)),
    ]
    for column in data.meta.columns:
        if column.features is not None:
            names = data.feature_names[slice(*column.features)]
            assert all(name.split("=")[0] == column.name for name in names)
    rows_left_out, many = warnings(said)
    assert "10 of 2,000 rows are left out" in rows_left_out
    assert "'name' (1,990 values such as 'nobody 0', 'nobody 1', 'nobody 2')" in many


def test_a_wide_table_is_told_in_few_lines(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    wide = pd.DataFrame(r.random((50, 380)), columns=[f"value{i}" for i in range(380)]).assign(y=r.random(50))
    data, said = prepared(tmp_path, wide)
    assert "\n   380 numbers: 'value0', 'value1', 'value2', 'value3', 'value4', 'value5' and 374 more\n" in said
    assert len(said.splitlines()) == 4
    assert len(data.meta.columns) == 381


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-"], "1 value is not a plain number: '-' (1)"),
        (["?", "-", "-", "<0.01"], "4 values are not plain numbers: '-' (2), '?' (1), '<0.01' (1)"),
        ([" "], "1 value is not a plain number: ' ' (1)"),
        (["1,234.5", "5 kg", "12%"], "'1,234.5' (1), '5 kg' (1), '12%' (1)"),
        (["0x1F", "1_000", "True"], "'0x1F' (1), '1_000' (1), 'True' (1)"),
        (["2026-01-31"], "'2026-01-31' (1)"),
    ],
)
def test_a_few_words_among_numbers_are_refused(
    words: list[str], told: str, suffix: str, tmp_path: Path, frame: pd.DataFrame
) -> None:
    """They would turn the column into 2,000 categories, which are too many and would be left out."""
    frame = with_words(frame, "a", *words)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, frame, suffix)
    message = str(caught.value)
    assert "column 'a' looks like numbers" in message
    assert told in message
    assert "its 2,000 values are too many" in message.replace("1,999", "2,000")
    for setting in ("`numeric: ['a']`", "`categorical: ['a']`", "`drop: ['a']`"):
        assert setting in message

    data, said = prepared(tmp_path, frame, suffix, numeric="a")
    assert (data.meta.n, data.feature_names) == (N - len(words), ("a", "b"))
    assert f"'a' ({len(words)}, of which {len(words)} are not numbers: " in warnings(said)[0]
    assert "'a' (" in said.splitlines()[3]

    data, said = prepared(tmp_path, frame, suffix, categorical="a")
    assert data.feature_names == ("b",)
    assert "left out" in warnings(said)[0]

    data, said = prepared(tmp_path, frame, suffix, drop="a")
    assert (data.feature_names, warnings(said)) == (("b",), [])


@pytest.mark.parametrize(
    "written",
    [
        *("{:,.0f}", "{:_.0f}", "{:.0f},5", "{:.0f}%", "{:.0f} kg", "{:.0f}m/s", "$ {:.0f}", "<{:.0f}", "({:,.0f})"),
        *("0x{:.0f}", "123 {:.0f}", "1.123.{:.0f}", "1'{:.0f}", "1,23,{:.0f}", "−{:.0f}", "{:.0f}-"),
    ],
)
def test_numbers_in_another_notation_are_refused(written: str, tmp_path: Path, frame: pd.DataFrame) -> None:
    high = 1000 if written.startswith(("123 ", "1")) else 100_000
    frame["c"] = [written.format(v) for v in np.random.default_rng(0).integers(100, high, N)]
    with pytest.raises(
        DataError, match=r"column 'c' looks like numbers, .*must be converted to plain numbers in the file"
    ):
        prepared(tmp_path, frame)


@pytest.mark.parametrize("written", ["192.168.1.{}", "12{} AB{}", "LH {}", "n{}", "{}-{}-{}", "1.{}.{}"])
def test_codes_are_left_out_with_a_warning(written: str, tmp_path: Path, frame: pd.DataFrame) -> None:
    frame["c"] = [written.replace("AB", "ABCDEFGHKL"[i % 10]).format(i, i, i) for i in range(N)]
    (warning,) = warnings(prepared(tmp_path, frame)[1])
    assert "'c' (2,000 values such as" in warning


@pytest.mark.parametrize("n_values", [150, 290])
def test_numbers_that_would_become_many_columns_are_refused(n_values: int, tmp_path: Path, frame: pd.DataFrame) -> None:
    frame = with_words(frame.assign(c=np.resize(np.arange(n_values), N)), "c", "-")
    with pytest.raises(DataError, match=f"it would make {n_values + 2} columns"):
        prepared(tmp_path, frame)
    data, said = prepared(tmp_path, frame, categorical="c")
    assert (data.meta.d, warnings(said)) == (2 + n_values + 2, [])


def test_few_numbers_with_a_word_are_categories_with_a_warning(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame["floor"] = np.resize(["1", "2", "3", "ground"], N)
    data, said = prepared(tmp_path, frame)
    (warning,) = warnings(said)
    assert "column 'floor' looks like numbers, but 500 values are not plain numbers: 'ground' (500)" in warning
    assert "category of 4 values" in warning
    assert "`categorical: ['floor']`" in warning
    assert data.meta.d == 2 + 5


def test_numbers_stored_as_text(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Parquet keeps them text; CSV with numbers of more than 64 bits gives text as well."""
    text = frame.assign(a=frame["a"].astype(str))
    with pytest.raises(DataError, match="column 'a' holds numbers as text, and as a category its 2,000 values"):
        prepared(tmp_path, text, "parquet")
    data, _ = prepared(tmp_path, text, "parquet", numeric="a")
    np.testing.assert_array_equal(data.X[:, 0], frame["a"].to_numpy(np.float32))
    with pytest.raises(DataError, match="column 'c' holds numbers as text"):
        prepared(tmp_path, frame.assign(c=[str(10**30 + i) for i in range(N)]))


def test_a_word_in_a_row_that_is_not_kept_counts(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = with_words(frame, "a", "oops")
    frame.loc[0, "y"] = np.nan
    with pytest.raises(DataError, match=r"1 value is not a plain number: 'oops' \(1\)"):
        prepared(tmp_path, frame)
    monkeypatch.setattr(rows, "MAX_ROWS", 100)
    with pytest.raises(DataError, match="'oops'"):
        prepared(tmp_path, frame)


def test_many_unclear_columns_in_one_message(tmp_path: Path) -> None:
    frame = pd.DataFrame({f"c{i}": np.arange(N).astype(str) for i in range(12)}).assign(a=range(N), y=range(N))
    frame.loc[0, frame.columns.str.startswith("c")] = "-"
    with pytest.raises(DataError, match=r"'c4' .*and 7 more such columns"):
        prepared(tmp_path, frame)


@pytest.mark.parametrize("pattern", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y %H:%M", "%d %b %Y"])
def test_dates_as_text(pattern: str, tmp_path: Path, frame: pd.DataFrame) -> None:
    """2,000 days are left out, a hundred are categories: both are said."""
    for n, told in ((N, "left out, because at most 300 values"), (100, "dates or times taken as categories")):
        days = pd.date_range("2001-01-01", periods=n, freq="D").strftime(pattern)
        _, said = prepared(tmp_path, frame.assign(day=np.resize(days, N)))
        (warning,) = warnings(said)
        assert told in warning
        assert "'day'" in warning
        assert "dates" in warning


@pytest.mark.parametrize("values", [["Ulm", "ulm"], ["Ulm ", "Ulm"], ["a  b", "A b", "c"], ["1", "1.0", "x", "z", "w"]])
def test_categories_that_are_nearly_the_same(values: list[str], tmp_path: Path, frame: pd.DataFrame) -> None:
    _, said = prepared(tmp_path, frame.assign(c=np.resize(values, N)))
    assert f"differ only in case, blanks or how a number is written: 'c' ({values[0]!r} and {values[1]!r})" in said


def test_what_calls_for_no_warning(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Whole numbers with few values, truth values, 1e5, numbers in quotes, codes and words."""
    frame = frame.assign(
        grade=np.resize([1, 2, 3], N),
        flag=np.resize([True, False], N),
        big=[f"{i}e5" for i in range(N)],
        spaced=[f" {i} " for i in range(N)],
        code=np.resize(["A1", "A2", "B1"], N),
        size=np.resize(["S", "M", "L", "38"], N),
    )
    data, said = prepared(tmp_path, frame)
    assert warnings(said) == []
    assert data.feature_names[:5] == ("a", "b", "grade", "big", "spaced")


def test_truth_values_are_no_numbers_however_they_are_read(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame["flag"] = np.resize([True, False], N)
    with pytest.raises(DataError, match=r"'flag' \(2,000, of which 2,000 are not numbers: 'True' \(1,000\)"):
        prepared(tmp_path, frame, numeric="flag")


def test_columns_of_one_name(tmp_path: Path, frame: pd.DataFrame) -> None:
    """Both are inputs; a setting has to say which it means."""
    twice = frame.set_axis(["a", "a", "y"], axis=1)
    data, said = prepared(tmp_path, twice)
    assert data.feature_names == ("a", "a")
    assert "2 numbers: 0, 1" in said
    with pytest.raises(DataError, match=r"drop='a', but 2 columns have that name; write the position .*: 0, 1"):
        prepared(tmp_path, twice, drop="a")
    assert prepared(tmp_path, twice, drop=0)[0].meta.d == 1


def test_a_first_row_that_is_taken_for_names(tmp_path: Path, frame: pd.DataFrame) -> None:
    path, notes = tmp_path / "own.csv", Notes()
    frame.to_csv(path, index=False, header=False)
    prepare(DataSet(name="own", target=2, path=str(path)), tmp_path, progress=notes)
    assert "is taken as the names of the columns; if it is a row, write `header: false`" in notes.texts[0]
    notes = Notes()
    prepare(DataSet(name="own", target=2, path=str(path), header=False), tmp_path, progress=notes)
    assert warnings("\n".join(notes.texts)) == []


def test_settings_that_contradict_each_other(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="`numeric` and `categorical` both name the column 'a'"):
        prepared(tmp_path, frame, numeric=["a", "b"], categorical=0)


def test_a_target_with_words(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame = with_words(frame, "y", "-", "-", "1,5")
    with pytest.raises(DataError, match=r"target 'y' holds text: '-' \(2\), '1,5' \(1\); .*`numeric: \['y'\]`"):
        prepared(tmp_path, frame)
    data, said = prepared(tmp_path, frame, numeric="y")
    assert data.meta.n == N - 3
    assert "target 'y' (3, of which 3 are not numbers: '-' (2), '1,5' (1))" in warnings(said)[0]


def test_the_command_shows_it_again(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one set that is prepared already, as it was told when it was prepared."""
    frame.loc[:4, "a"] = np.nan
    _, said = prepared(tmp_path, frame.assign(floor=np.resize(["1", "2", "x"], N)))
    dataset = DataSet(name="own", target="y", path=str(tmp_path / "own.csv"))
    monkeypatch.setattr(command, "names", lambda: ["own"])
    monkeypatch.setattr(command, "load_dataset", lambda name: dataset)
    arguments = ["dataset=own", f"paths.data={tmp_path}"]
    assert command.main(arguments) == 0
    captured = capsys.readouterr()
    assert "own: 1,995 of 2,000 rows are kept\nown: 4 columns in the table\n     1 target: 'y'\n" in captured.out
    assert warnings(said)[1] in captured.out.splitlines()
    assert captured.err == ""
    assert command.main([*arguments, "overwrite=true"]) == 0
    captured = capsys.readouterr()
    assert "columns in the table" in captured.err
    assert "columns in the table" not in captured.out


def test_own_sets_of_older_rules_are_prepared_anew(tmp_path: Path, frame: pd.DataFrame) -> None:
    """meta.json told nothing of columns then; sets from elsewhere hold the same arrays still."""
    data, _ = prepared(tmp_path, frame)
    path = data.folder / "meta.json"
    plain = json.loads(path.read_text("utf-8"))
    del plain["columns"]
    path.write_text(json.dumps(plain))
    assert load_prepared(tmp_path, "own").meta.columns == ()
    again = prepare(DataSet(name="own", target="y", path=str(tmp_path / "own.csv")), tmp_path, progress=Notes())
    assert again.meta.columns == data.meta.columns


def test_meta_holds_columns_exactly() -> None:
    column = Column("c", 3, "number", False, (1, 2), None, None, 2, (("-", 2),), (), 0.1 + 0.2, (9, 1), ("9", 9.0))
    assert Column.from_plain(json.loads(json.dumps(column.as_plain()))) == column

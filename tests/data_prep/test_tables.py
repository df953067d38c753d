"""Raw tables: what the formats allow, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from data_prep import DataError
from data_prep.blob import file_blob
from data_prep.friedman import friedman_frame
from data_prep.tables import ArffTable, FrameTable, ParquetTable, TextTable, matlab_table

ARFF = """\
% a comment, with 'quotes' and {{braces}}
@RELATION 'a name'
@attribute 'first column' REAL
@ATTRIBUTE kind {{{values}}}
@ATTRIBUTE note STRING

@DATA
% another comment
1.5,{first},{quote}a, b{quote}
?,{second},{quote}c{quote}

2, {first} ,?
"""


def arff(path: Path, text: str) -> ArffTable:
    path.write_text(text)
    return ArffTable(file_blob(path))


@pytest.mark.parametrize("quote", ["'", '"'])
def test_arff(quote: str, tmp_path: Path) -> None:
    """Both kinds of quotes, blanks after commas, comments and blank lines among the rows, '?' for missing."""
    first, second = f"{quote}Very Good{quote}", "Fair"
    text = ARFF.format(values=f"{first},{second}", first=first, second=second, quote=quote)
    table = arff(tmp_path / "a.arff", text.replace(f" {first} ,?", f" {first},?"))
    assert table.columns == ("first column", "kind", "note")
    assert table.nominal == {1, 2}
    (chunk,) = table.chunks([0, 1, 2], None)
    np.testing.assert_array_equal(chunk.frame[0], [1.5, np.nan, 2.0])
    assert chunk.frame[1].tolist() == ["Very Good", "Fair", "Very Good"]
    assert chunk.frame[2].isna().tolist() == [False, False, True]
    assert chunk.frame[2][0] == "a, b"


HEAD = "@RELATION a\n@ATTRIBUTE k {'%a',b}\n@ATTRIBUTE x REAL\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "@DATA\n% a comment with 'one quote\n\n'%a',1\n   \n  % another, after blanks\nb,2\n%\n\n",
        HEAD + "@DATA\n" + '% "\n' * 3000 + "'%a',1\nb,2",
        HEAD + "  @Data\t% rows from here on\n'%a',1\nb,2\n",
        ("% @DATA\n" + HEAD + "\n@data\n\n'%a',1\nb,2\n").replace("\n", "\r\n"),
        "\ufeff" + HEAD.replace(" ", "\t") + "\t@DATA\n'%a', 1\nb,\t2\n",
    ],
)
def test_comments_and_blank_lines_anywhere_in_arff(text: str, tmp_path: Path) -> None:
    """A quoted value may begin with %; the header may be indented, separated by tabs, in small letters."""
    table = arff(tmp_path / "a.arff", text)
    (chunk,) = table.chunks([0, 1], frozenset())
    assert chunk.frame.to_numpy().tolist() == [["%a", 1.0], ["b", 2.0]]


@pytest.mark.parametrize("where", [HEAD, "@DATA\n", "'%a',1\n"])
def test_arff_that_is_not_utf_8(where: str, tmp_path: Path) -> None:
    """In the header, in a comment, or in a value of any row."""
    path = tmp_path / "a.arff"
    path.write_bytes((HEAD + "@DATA\n'%a',1\n").replace(where, where + "% K\xf6ln\n").encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.arff: .*not in UTF-8 .*; convert it"):
        ArffTable(file_blob(path))
    path.write_bytes((HEAD + "@DATA\n" + "b,1\n" * 5000 + "K\xf6ln,1\n").encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.arff: not in UTF-8 .*; convert it"):
        list(ArffTable(file_blob(path)).chunks([0, 1], frozenset()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable ARFF"),
        ("@RELATION\n@ATTRIBUTE x\n@DATA\n1\n", "not a readable ARFF"),
        ("<html>", "not a readable ARFF"),
        ("@RELATION a\n@ATTRIBUTE x SOMETHING\n@DATA\n1\n", "not a readable ARFF"),
        ("@RELATION a\n@ATTRIBUTE x REAL\n@DATA\n{0 1}\n", "sparse ARFF is not supported"),
    ],
)
def test_what_is_no_arff(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        arff(tmp_path / "a.arff", text)


@pytest.mark.parametrize("row", ["word,2", "1,2,3"])
def test_bad_rows_of_arff(row: str, tmp_path: Path) -> None:
    table = arff(tmp_path / "a.arff", f"@RELATION a\n@ATTRIBUTE x REAL\n@ATTRIBUTE y REAL\n@DATA\n1,2\n{row}\n")
    with pytest.raises(DataError, match=r"a\.arff: not a table of the expected layout"):
        list(table.chunks([0, 1], None))


@pytest.mark.parametrize("text", ["a,b\n1.25,x\n,y\n", "\ufeffa,b\r\n1.25,x\r\nNA,y\r\n", '"a","b"\n1.25,"x"\n"",y\n'])
def test_text(text: str, tmp_path: Path) -> None:
    """A byte order mark, line ends of Windows, quotes, marks for missing values."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    table = TextTable(file_blob(tmp_path / "a.csv"), header=True, separator=",")
    assert table.columns == ("a", "b")
    (chunk,) = table.chunks([0, 1], {1})
    np.testing.assert_array_equal(chunk.frame[0], [1.25, np.nan])
    assert chunk.frame[1].tolist() == ["x", "y"]


def test_numbers_in_text_are_read_to_the_last_bit(tmp_path: Path) -> None:
    """So that ARFF, CSV and parquet copies of one table give equal arrays."""
    r = np.random.default_rng(0)
    x = r.standard_normal(20_000) * 10.0 ** r.integers(-12, 12, 20_000)
    (tmp_path / "a.csv").write_text("\n".join(map(repr, x.tolist())))
    table = TextTable(file_blob(tmp_path / "a.csv"), header=False, separator=",")
    np.testing.assert_array_equal(pd.concat([c.frame for c in table.chunks([0], frozenset())])[0], x)


def test_parquet_kinds(tmp_path: Path) -> None:
    frame = pd.DataFrame({"i": [1, 2], "f": [0.5, np.nan], "w": ["x", None], "b": [True, False]})
    frame["c"] = pd.Categorical(["u", "v"], categories=["v", "u", "never"])
    frame.to_parquet(tmp_path / "a.parquet")
    table = ParquetTable(tmp_path / "a.parquet", ignored=["i"])
    assert table.columns == ("i", "f", "w", "b", "c")
    assert (table.nominal, table.ignored) == ({3, 4}, {0})  # text is not declared to be a category
    (chunk,) = table.chunks([4, 1, 3, 2, 0], None)
    assert chunk.frame[4].tolist() == ["u", "v"]
    assert chunk.frame[3].tolist() == ["true", "false"]
    assert chunk.frame[2].isna().tolist() == [False, True]
    assert (chunk.frame[1].dtype, chunk.frame[0].dtype) == (np.float64, np.float64)


@pytest.mark.parametrize("cut", [10, 200, -5])
def test_damaged_parquet(cut: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": np.random.default_rng(0).random(1000)}).to_parquet(buffer)
    (tmp_path / "a.pq").write_bytes(buffer.getvalue()[:cut])
    with pytest.raises(DataError, match=r"a\.pq: not a readable parquet file"):
        ParquetTable(tmp_path / "a.pq")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"other": np.ones((2, 2))}, "no variable 'wanted'; found: other"),
        ({"wanted": np.array([{"a": 1}], dtype=object)}, "not a matrix of numbers"),
        ({"wanted": "text"}, "not a matrix of numbers"),
        (b"no matlab file at all", "not a readable MATLAB file"),
    ],
)
def test_matlab(contents: dict[str, object] | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    if isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        scipy.io.savemat(path, contents)
    with pytest.raises(DataError, match=message):
        matlab_table(path, "wanted")


def test_friedman() -> None:
    """The noise that is left over when the formula is subtracted is standard normal, and the draw is fixed."""
    frame = friedman_frame(40_768, 0)
    x = frame.drop(columns="Y").to_numpy()
    assert frame.columns.tolist() == [*(f"X{i}" for i in range(1, 11)), "Y"]
    signal = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    noise = frame["Y"] - signal
    assert abs(noise.mean()) < 4 / np.sqrt(len(noise))
    assert abs(noise.std() - 1) < 4 / np.sqrt(2 * len(noise))
    assert (x.min(), x.max()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert np.abs(np.corrcoef(x.T) - np.eye(10)).max() < 0.03
    pd.testing.assert_frame_equal(friedman_frame(100, 0), friedman_frame(100, 0))
    assert FrameTable(frame).size == 40_768

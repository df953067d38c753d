"""`python -m bmdal suggest`, run for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from messy import diamonds, write_messy
from warm_python import warm_python

from bmdal.suggestion.files import as_csv, quoted, unquoted, write_whole

ROOT = Path(__file__).resolve().parents[3]


def run(folder: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [warm_python(), "-W", "error", "-m", "bmdal", "suggest", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return diamonds(360)


@pytest.fixture
def folder(clean: pd.DataFrame, tmp_path: Path) -> Path:
    clean[:30].to_csv(tmp_path / "labelled.csv", index=False)
    clean[30:330].drop(columns="price").to_csv(tmp_path / "candidates.csv", index=False)
    return tmp_path


def test_two_rounds_with_history(folder: Path, clean: pd.DataFrame) -> None:
    command = ("labelled.csv", "candidates.csv", "--target", "price", "--batch", "8", "--history", "rounds")
    said, _ = run(folder, *command)
    for part in (
        "separated by comma",
        "8 rows chosen of 300 candidates, given 30",
        "Will it pay?",
        "written: to_label.csv",
    ):
        assert part in said
    chosen = pd.read_csv(folder / "to_label.csv")
    candidates = pd.read_csv(folder / "candidates.csv")
    assert len(chosen) == chosen["id"].nunique() == 8
    pd.testing.assert_frame_equal(
        chosen[candidates.columns], candidates.set_index("id").loc[chosen["id"]].reset_index(), check_dtype=False
    )
    assert chosen.columns[-4:].tolist() == ["price", "predicted price", "uncertainty of price", "reason"]
    assert chosen["price"].isna().all()
    assert (chosen["uncertainty of price"] > 0).all()
    known = clean.set_index("id")["price"]
    rows = chosen.assign(price=known[chosen["id"]].to_numpy())
    pd.concat([pd.read_csv(folder / "labelled.csv"), rows]).to_csv(folder / "labelled.csv", index=False)  # as users do
    _, error = run(folder, *command, status=2)
    assert error == (
        "error: to_label.csv and to_label.html exist; add --force to overwrite, or name another file with --output\n"
    )
    said, _ = run(folder, *command, "--force")
    assert "8 candidates left out: equal to a labelled row in all columns of both tables" in said
    assert "292 candidates, given 38" in said
    assert not set(pd.read_csv(folder / "to_label.csv")["id"]) & set(chosen["id"])
    first, second = map(json.loads, (folder / "rounds" / "log.jsonl").read_text().splitlines())
    assert (first["n_labelled"], second["n_labelled"]) == (30, 38)
    page = (folder / "to_label.html").read_text()
    errors = chosen["predicted price"].to_numpy() - rows["price"].to_numpy()
    rmse = re.search(r'<th scope="row">1</th><td>30</td>.*?<td>8</td><td>([\d,]+)</td>', page, re.DOTALL)
    assert rmse is not None
    assert float(rmse[1].replace(",", "")) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.01)


@pytest.mark.thorough
def test_a_messy_table(tmp_path: Path) -> None:
    write_messy(tmp_path, 80, 300)
    said, _ = run(tmp_path, "labelled.csv", "candidates.csv", "--target", "price", "--batch", "5")
    for part in (
        "separated by semicolon, not UTF-8, read as Windows-1252",
        "only in labelled.csv, so not used: 'paid by', 'invoice'",
        "'stone', 'row': dropped: a different value in every row, like ids",
        "'carat': read as numbers: decimal comma, the unit 'ct', left out",
        "'-' read as missing",
        "'measured on': read as dates, day first",
        "'Prüfnotiz': read as free text",
        "'currency': dropped: the same value in all rows",
    ):
        assert part in said, part
    chosen = pd.read_csv(tmp_path / "to_label.csv", sep=";", decimal=",")
    assert chosen["predicted price"].between(200, 20_000).all()
    assert chosen["carat"].str.endswith(" ct").all()


@pytest.mark.thorough
def test_the_page_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands and its Python code, in order, with fewer diamonds."""
    text = (ROOT / "docs" / "suggest.md").read_text().replace("data_prep/", f"{ROOT}/data_prep/")
    text = text.replace("20_500", "150").replace("[:500]", "[:45]").replace("[500:]", "[45:]")
    monkeypatch.chdir(tmp_path)
    make_tables, in_python = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(make_tables, "suggest.md", "exec"), {})
    pd.concat([pd.read_csv("labelled.csv"), pd.read_csv("candidates.csv")]).to_csv("table.csv", index=False)
    commands = re.findall(r"^    bmdal suggest (.*)$", text, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        said, _ = run(tmp_path, *command.split(), *([] if "--force" in command else ["--force"]))
        assert "written: to_label.html" in said
    exec(compile(in_python, "suggest.md", "exec"), {})
    assert "rows to label next" in Path("to_label.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("labelled.csv candidates.csv --target prize --batch 5", "unknown column 'prize'. Did you mean 'price'?"),
        ("labelled.csv candidates.csv --batch 5", "which column of labelled.csv is to be predicted?"),
        ("labelled.csv candidates.csv --target price", "the following arguments are required: --batch"),
        ("labelled.csv candidates.csv --target price --batch x", "argument --batch: invalid int value: 'x'"),
        ("labelled.csv none.csv --target price --batch 5", "No such file or directory: 'none.csv'"),
        ("labelled.csv candidates.csv --target price --batch 999", "the batch must have 1 to 300 rows"),
        ("labelled.csv candidates.csv --target cut --batch 5", "the target 'cut' must hold numbers, row 1"),
        ("labelled.csv candidates.csv --target price --batch 5 --model tree", "unknown model 'tree'"),
        ("labelled.csv candidates.csv --target price --batch 5 --output a.xlsx", "--output must end in .csv"),
        ("labelled.csv candidates.csv --target price --batch 5 --constraint carat", "write COLUMN OPERATOR VALUE"),
        ("labelled.csv candidates.csv --target price --batch 5 --history labelled.csv", "labelled.csv is a file"),
        ("labelled.csv candidates.csv --target price --batch 5 --output candidates.csv --force", "overwrite an input"),
        ("labelled.csv candidates.csv --target price --batch 5 --per-group 2", "--per-group needs --group"),
        ("labelled.csv candidates.csv --target price --batch 5 --seed -1", "seed must be an integer from 0"),
        ("labelled.csv candidates.csv --batch 5 --target price price", "a target is named twice: price, price"),
    ],
)
def test_errors_are_one_line(arguments: str, message: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    _, error = run(folder, *arguments.split(), status=2)
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_help(folder: Path) -> None:
    said, _ = run(folder, "--help")
    for part in ("labelled.csv candidates.csv --target price --batch 50", "--history", "--constraint", "bait-f-p_pred"):
        assert part in said


def test_a_first_design_from_one_table_with_hostile_cells(tmp_path: Path) -> None:
    """Formulas are quoted, markup is escaped, and numbers stay numbers."""
    table = pd.DataFrame({"<b>x</b>": [-1.5, 2, 3.25, -4] * 5, "name": ["=1+1", "<script>alert(1)</script>"] * 10})
    table["name"] += table.index.astype(str)
    table["kind"] = ["@cmd", "-plain", "</script><i>", "ok"] * 5
    table.to_csv(tmp_path / "c.csv", index=False)
    said, _ = run(tmp_path, "c.csv", "--batch", "12")
    assert "12 rows chosen of 20 candidates, as a first design, by the method lcmd-p_linear" in said
    chosen = pd.read_csv(tmp_path / "to_label.csv")
    assert set(chosen["<b>x</b>"]) <= {-1.5, 2, 3.25, -4}
    assert {"'@cmd", "'-plain"} <= set(chosen["kind"]) <= {"'@cmd", "'-plain", "</script><i>", "ok"}
    assert chosen["name"].str.startswith(("'=1+1", "<script>")).all()
    page = (tmp_path / "to_label.html").read_text()
    for hostile in ("<b>x</b>", "<script>alert", "</script><i>"):
        assert hostile not in page
    assert "http" not in page.replace("http-equiv", "")


def test_cells_for_spreadsheets() -> None:
    cells = ["=1", "+a", "-1,5", "-1.5", "@x", "\tx", " =1", "a=1", "-", 7, None]
    assert [quoted(cell) for cell in cells] == [
        "'=1",
        "'+a",
        "-1,5",
        "-1.5",
        "'@x",
        "'\tx",
        "' =1",
        "a=1",
        "-",
        7,
        None,
    ]
    assert [unquoted(str(quoted(cell))) for cell in cells[:9]] == cells[:9]
    text = as_csv(pd.DataFrame({"=a": [1.123456789, -2], "b": ["=1", "x;y"]}), ";", ",")
    assert text == "'=a;b\n1,123456789;'=1\n-2,0;\"x;y\"\n"


def test_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_whole({tmp_path / "a.csv": "a", tmp_path / "folder" / "file" / "b.csv": "b"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]

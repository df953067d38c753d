"""The recipes run with the real libraries, are short, and stand in the documentation as they are."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.py"))
MOST_LINES = 8


def code(path: Path) -> str:
    return path.read_text().split("\n# recipe\n")[1].strip()


def test_there_are_ten() -> None:
    assert len(RECIPES) == 10


@pytest.mark.filterwarnings("default")  # other libraries have warnings of their own
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs = re.findall(r"\w+", re.search(r"Needs (.*)\.", path.read_text()).group(1))  # type: ignore[union-attr]
    for name in set(needs) - {"nothing", "but", "bmdal", "and", "scikit", "learn", "pandas"}:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[recipes]'")
    assert sum(bool(line.strip()) for line in code(path).splitlines()) <= MOST_LINES
    assert code(path) in (ROOT / "docs" / "recipes.md").read_text(), "docs/recipes.md has other code"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    variables = runpy.run_path(str(path))
    _check(path.stem, variables, capsys.readouterr().out)


def _check(name: str, found: dict[str, Any], printed: str) -> None:
    """What a recipe says of its outcome."""
    batches = [
        np.array(re.findall(r"\d+", text), dtype=int) for text in re.findall(r"tensor\(\[([\d, \n]+)\]\)", printed)
    ]
    assert name == "table" or batches
    assert all(len(set(b.tolist())) == len(b) for b in batches)
    match name:
        case "table":
            assert "[50 rows x 8 columns]" in printed
        case "embeddings":
            first, second = found["first"].indices, found["second"].indices
            assert len({*first.tolist(), *second.tolist()}) == 200
        case "predictions":
            batch, supplier, price = found["batch"].indices.numpy(), found["supplier"], found["price"]
            assert np.bincount(supplier[batch]).max() <= 2
            assert price[batch].sum() < 50 * np.median(price)
        case "transformer" | "two_inputs" | "gaussian_process":
            assert batches[0].tolist() == batches[1].tolist()
        case "outputs":
            assert batches[0].tolist() != batches[1].tolist()
            assert "the network has 3 outputs; all count" in printed

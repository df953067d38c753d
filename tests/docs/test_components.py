"""The site has a page for every component, and finds every link to a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("matplotlib") is None:
    pytest.skip("matplotlib is not installed: pip install -e '.[docs]'", allow_module_level=True)

from docs import components

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", components.KINDS)
def test_every_component_has_cost_and_advice(kind: str) -> None:
    found = components.components(kind)
    assert found.keys() == components.ABOUT[kind].keys()
    assert all(about.cost and about.advice for about in components.ABOUT[kind].values())


@pytest.mark.parametrize("kind", components.KINDS)
def test_pages_say_what_the_code_says(kind: str) -> None:
    for slug, component in components.components(kind).items():
        page = components.component_page(kind, slug, component)
        assert page.startswith(slug)
        assert "2203.09410" in page or "arXiv" in page, f"the page of {slug} has no source"
        assert page.count("   * - ") >= 4
    assert all(f"{kind}/{slug}" in components.kind_page(kind) for slug in components.components(kind))


def test_published_place() -> None:
    assert "number 1 of 76, mean log RMSE -1.595" in components.published("selection", "lcmd")
    assert components.published("selection", "random").startswith("`random` is number 60 of 76")
    assert components.published("kernel", "pred") == "None of the published methods uses it."


def test_docstrings_as_rst() -> None:
    text = "sum_ of |phi|^2 * `k`.\n\n    batch = f(*x)\n\nArgs:\n    x: a `name`, x_1..x_n.\n\n    y: another."
    assert components.as_rst(text) == [
        r"sum\_ of \|phi\|^2 \* ``k``.",
        "",
        ".. code-block:: python",
        "",
        "    batch = f(*x)",
        "",
        "Args:",
        "    x: a ``name``, x_1..x_n.",
        "",
        "    y: another.",
    ]


def test_recipes_have_the_headings_of_the_page(tmp_path: Path) -> None:
    components.write_recipes(tmp_path)
    scripts = sorted(path.name for path in (ROOT / "examples" / "recipes").glob("*.py"))
    assert sorted(path.name for path in tmp_path.glob("*.py")) == scripts
    assert (tmp_path / "table.py").read_text().startswith('"""\nA table and a random forest\n====')

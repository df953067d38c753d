"""Imports run one way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "bmdal": set(),
    "cli": set(),
    "data_prep": {"cli"},
    "results": {"cli"},
    "benchmark": {"bmdal", "cli", "data_prep", "results"},
    "plots": {"cli", "results"},
}
EXCEPTIONS = {("plots/lcmd_steps.py", "bmdal")}


def imported_packages(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        siblings = (imported_packages(path) & ALLOWED.keys()) - {package}
        name = path.relative_to(ROOT).as_posix()
        assert {s for s in siblings if (name, s) not in EXCEPTIONS} <= ALLOWED[package], name


EXTRAS = {
    "bmdal/regressor/estimator.py": {"sklearn"},
    "bmdal/regressor/gain.py": {"sklearn", "scipy"},  # scikit-learn needs scipy itself
    "bmdal/adapters/skactiveml.py": {"sklearn", "skactiveml"},
}
TABLES = {"pandas", "sklearn", "scipy", "jinja2", "markupsafe", "lightgbm"}
"""Of the folder of `bmdal[table]`; LightGBM on request."""


def test_library_needs_torch_and_numpy_alone() -> None:
    """The library imports torch and numpy, and what comes with an extra in one file or folder only."""
    for path in (ROOT / "bmdal").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        extra = TABLES if name.startswith("bmdal/suggestion/") else EXTRAS.get(name, set())
        allowed = sys.stdlib_module_names | {"torch", "numpy", "bmdal"} | extra
        assert imported_packages(path) <= allowed, name

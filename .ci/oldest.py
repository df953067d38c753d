"""Print pip constraints with the lowest version of each dependency that pyproject.toml allows, except for the tools."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
extras = [
    project["optional-dependencies"][name]
    for name in ("harness", "sklearn", "table", "lightgbm", "skactiveml", "recipes")
]
requirements = {requirement for part in (project["dependencies"], *extras) for requirement in part}
floors = [match.expand(r"\1==\2") for r in requirements if (match := re.match(r"([\w.-]+)>=([\w.]+)", r))]
print("\n".join(sorted(floors)))

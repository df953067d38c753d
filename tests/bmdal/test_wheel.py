"""The wheel of the library: what is in it, and the README's examples with it alone in an empty environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCES = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "data", "runs", "figures")
CHECK = """
import importlib.util, sys
import bmdal
assert bmdal.__file__.startswith(sys.prefix), bmdal.__file__
for name in ("benchmark", "data_prep", "results", "plots", "examples"):
    assert importlib.util.find_spec(name) is None, name
{code}
installed = {{name.split(".")[0] for name in sys.modules}}
assert not installed & {{"hydra", "matplotlib", "pandas", "pyarrow", "requests", "skactiveml", "sklearn"}}, installed
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, in which no earlier build can leave something behind."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "checkout", ignore=NOT_SOURCES)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, folder / "checkout", cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The interpreter of an empty environment with the wheel, which borrows torch and numpy from this one."""
    folder = wheel.parent / "environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=wheel.parent)
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    Path(site_packages, "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not read
    return python


def test_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bmdal").rglob("*.py")}
    (information,) = {name.split("/")[0] for name in names} - {"bmdal"}
    templates = {f"bmdal/suggestion/template/page.{suffix}" for suffix in ("css", "html.j2", "js")}
    assert {name for name in names if name.startswith("bmdal/")} == sources | templates | {"bmdal/py.typed"}
    assert f"{information}/licenses/LICENSE" in names
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, flags=re.MULTILINE)
    assert sorted(required) == ["numpy", "torch"]


def test_its_command_needs_nothing_else(python: Path, tmp_path: Path) -> None:
    assert "python -m benchmark" in run(python, "-I", "-m", "bmdal", cwd=tmp_path)


def test_the_rows_to_label_with_the_wheel(python: Path, tmp_path: Path) -> None:
    """The command `bmdal suggest`, without a checkout."""
    table = [f"{i},{i % 7},{'' if i > 39 else i * i}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *table]))
    said = run(python.with_name("bmdal"), "suggest", "table.csv", "--target", "y", "--batch", "3", cwd=tmp_path)
    assert "written: to_label.html" in said
    assert "40 rows of table.csv with 'y' coun" in said
    assert (tmp_path / "to_label.html").read_text().startswith("<!DOCTYPE html>")


def test_the_readmes_examples_need_nothing_else(python: Path, tmp_path: Path) -> None:
    """Those that import torch and bmdal alone."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    alone = [example for example in examples if "sklearn" not in example and "bmdal.regressor" not in example]
    assert any("select_batch(" in example for example in alone)
    for example in alone:
        run(python, "-I", "-W", "error", "-c", CHECK.format(code=example), cwd=tmp_path)

"""Components of one's own: their code is part of the configuration of a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import SMALL, environment, run

from benchmark.code_version import own_code
from benchmark.forest import Forest
from benchmark.networks import Networks
from benchmark.run import settings
from benchmark.task import Task
from bmdal import Method

COMPONENT = """
from dataclasses import dataclass
import torch
from bmdal import register
from bmdal.selection import Selection

@register
@dataclass(frozen=True)
class First(Selection):
    tokens = ("first",)
    modes = ()

    def select(self, problem, batch_size):
        return torch.arange(batch_size) + {start}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `mine` that the command line finds."""
    (tmp_path / "modules").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    assert str(tmp_path / "modules") in environment(tmp_path)["PYTHONPATH"]
    return tmp_path / "modules" / "mine.py"


def test_a_change_of_the_code_is_named(module: Path, tmp_path: Path) -> None:
    """The record of the own method is refused until asked for again; that of another method stays."""
    arguments = [*SMALL[:-1], "imports=[mine]", "task.n_rounds=1", "n_threads=1"]
    module.write_text(COMPONENT.format(start=0))
    assert run(tmp_path, "-m", *arguments, "method=random,first_ll").returncode == 0
    path = tmp_path / "runs/default/small/32x1/first_ll/split-0.json"
    before = json.loads(path.read_text())
    assert list(before["config"]["method"]["code"]) == ["mine"]
    assert run(tmp_path, *arguments, "method=first_ll").returncode == 0

    module.write_text(COMPONENT.format(start=1))
    changed = run(tmp_path, *arguments, "method=first_ll")
    assert changed.returncode == 2
    assert "method.code.mine was" in changed.stderr
    assert "overwrite=true" in changed.stderr
    assert json.loads(path.read_text()) == before
    assert "1 of them done earlier" in run(tmp_path, *arguments, "method=random").stdout
    assert run(tmp_path, *arguments, "method=first_ll", "overwrite=true").returncode == 0
    assert json.loads(path.read_text())["config"]["method"]["code"] != before["config"]["method"]["code"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import not_there",
            "imports=[mine]: it imports a module that is missing: No module named 'not_there'",
        ),
        ("a = 1\nb = c", "imports=[mine]: NameError: name 'c' is not defined (mine.py:2)"),
        ("def", "imports=[mine]: SyntaxError: "),
    ],
)
def test_a_module_that_cannot_be_imported(code: str, message: str, module: Path, tmp_path: Path) -> None:
    module.write_text(code)
    done = run(tmp_path, *SMALL[:-1], "imports=[mine]", "method=random")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_library_has_no_code_of_its_own() -> None:
    for name in ("lcmd-tp_grad_rp-512", "random"):
        method = Method.from_name(name)
        assert own_code([method.selection, method.kernel, *method.transformations]) == {}
    assert own_code([Networks(), Forest()]) == {}
    assert set(settings(Task(), Forest(), Method.from_name("random"))["training"]) == {"n_trees"}


def test_a_model_is_more_than_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class and the code of this and of what it inherits from count, too."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_base.py").write_text("from benchmark.forest import Forest\nclass Base(Forest): pass\n")
    (tmp_path / "my_trees.py").write_text("from my_base import Base\nclass Trees(Base): pass\n")
    import my_trees  # type: ignore[import-not-found]

    own = settings(Task(), my_trees.Trees(), Method.from_name("random"))["training"]
    assert own["n_trees"] == Forest().n_trees
    assert own["class"] == "Trees"
    assert list(own["code"]) == ["my_base", "my_trees"]

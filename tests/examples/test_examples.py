"""The examples run as people type them, in a copy of the checkout, with less training."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from warm_python import warm_python

from bmdal.features import DenseFeatures
from bmdal.kernels import Network
from bmdal.selection import SelectionProblem
from bmdal.testing import check_selection
from examples.leaderboard.mine import Draw
from examples.own_method.components import Lottery, PrincipalAxes, Quadratic

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("benchmark", "bmdal", "cli", "conf", "data_prep", "docs", "examples", "hydra_plugins", "plots", "results")
OWN = "draw_grad_rp-512_train"
SHORT = ("splits=[0]", "task.n_rounds=1", "training.n_epochs=1", "n_threads=1")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples write into the checkout: data, runs, figures, a description of a data set."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(checkout: Path, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(warm_python()).parent), os.environ["PATH"]])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BMDAL_")}
    environment |= {"PATH": path, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stderr
    return done


def test_custom_network(checkout: Path, tmp_path: Path) -> None:
    """At full size, as the picture in the repository was made."""
    done = run(checkout, "python", "examples/custom_network.py", "--output", str(tmp_path))
    assert f"written: {tmp_path / 'custom_network.png'}" in done.stdout
    assert (tmp_path / "custom_network.png").read_bytes().startswith(b"\x89PNG")
    rows = re.findall(r"^(\S+) +([\d.]+) +([\d.]+) +([\d.]+)$", done.stdout, flags=re.MULTILINE)
    density, spacing, gap = ({row[0].split("_")[0]: float(row[column]) for row in rows} for column in (1, 2, 3))
    assert len(density) == 9
    assert density["lcmd-tp"] > 3 * density["maxdist-tp"]
    assert spacing["lcmd-tp"] > 2 * spacing["random"]
    assert gap["lcmd-tp"] < min(gap[method] for method in gap if method not in ("lcmd-tp", "kmeanspp-tp"))


def test_picture_is_small() -> None:
    pictures = sorted((ROOT / "examples" / "pictures").iterdir())
    assert pictures
    assert all(picture.stat().st_size < 150_000 for picture in pictures)


def test_own_method(checkout: Path) -> None:
    done = run(checkout, "sh", "examples/own_method/compare.sh", *SHORT)
    assert "quadratic, pca-{n_axes} and lottery satisfy the contract" in done.stdout
    for method in (
        "random",
        "lottery_grad_rp-512_train",
        "lcmd-tp_quadratic_rp-512",
        "lcmd-tp_grad_rp-512_pca-32",
        "lcmd-tp_grad_rp-512",
    ):
        assert re.search(rf"^{method} +-?\d", done.stdout, flags=re.MULTILINE), method
    assert "log RMSE minus lcmd-tp_grad_rp-512" in done.stdout


@pytest.mark.thorough
def test_own_method_as_the_readme_goes_on(checkout: Path) -> None:
    """A copy of the components under another name, by the commands of the text."""
    shutil.copy(checkout / "examples/own_method/components.py", checkout / "mine.py")
    text = (ROOT / "examples" / "README.md").read_text().replace("\\\n", " ")
    sweep, table = (shlex.split(line) for line in re.findall(r"^    (python -m .*)$", text, flags=re.MULTILINE))
    run(checkout, *sweep, "training.n_epochs=1", "n_threads=1")
    assert re.search(r"^lottery_grad_rp-512_train +-?\d.* ± ", run(checkout, *table).stdout, flags=re.MULTILINE)


@pytest.mark.thorough
def test_leaderboard(checkout: Path, tmp_path: Path) -> None:
    """The commands of the script, on a protocol of one small data set: a method of ten lines, ranked and sent."""
    text = (checkout / "examples/leaderboard/compare.sh").read_text()
    sweep, table = (shlex.split(line) for line in re.findall(r"^(python -m .*)$", text, flags=re.MULTILINE))
    small = ["dataset=friedman", "task=64x6", "task.n_rounds=1", "splits=[0,1]", "training.n_epochs=2", "n_threads=1"]
    folders = {name: tmp_path / name for name in ("published", "runs", "data", "sent")}
    places = [f"paths.data={folders['data']}", f"paths.runs={folders['runs']}"]
    published = ["method=random,maxdiag_ll", f"paths.runs={folders['published']}"]
    run(checkout, *sweep, *small, f"paths.data={folders['data']}", *published)
    protocol = shutil.make_archive(str(tmp_path / "protocol"), "zip", folders["published"])
    run(checkout, *sweep, *small, *places)
    archives = [f"paths.protocol={protocol}", f"paths.submissions={folders['sent']}"]
    ranked = run(checkout, *table, *places, *archives).stdout
    for method, origin in (("random", "published"), ("maxdiag_ll", "published"), (OWN, "your runs")):
        assert re.search(rf"^{method} +[\d.]+\S* .* 2 +{origin} ", ranked, flags=re.MULTILINE), method
    sent = run(checkout, "python", "-m", "results", f"submit={folders['runs']}", *places, *archives)
    assert "log RMSE +0.0000" in sent.stdout
    ranked = run(checkout, *table, *places, *archives).stdout
    assert f"submission {OWN}, rerun of friedman/{OWN}/split-" in ranked
    assert "your runs" not in ranked


def test_the_ten_lines_of_the_recipe() -> None:
    recipe = (ROOT / "examples/leaderboard/mine.py").read_text().split("\n# recipe\n")[1].strip()
    assert sum(bool(line.strip()) for line in recipe.splitlines()) <= 10
    document = (ROOT / "docs" / "recipes.md").read_text()
    assert recipe in document
    script = (ROOT / "examples/leaderboard/compare.sh").read_text().replace("examples.leaderboard.mine", "mine")
    commands = re.findall(r"^(python -m .*)$", script, flags=re.MULTILINE)
    assert "\n".join(f"    {command}" for command in commands) in document
    check_selection(Draw())


def test_draw_in_proportion() -> None:
    pool = DenseFeatures(torch.tensor([[1.0], [0.0], [3.0**0.5]]))
    generator = torch.Generator().manual_seed(0)
    firsts = [int(Draw().select(SelectionProblem(pool[:0], pool, None, 1.0, generator), 2)[0]) for _ in range(4000)]
    assert firsts.count(2) / 4000 == pytest.approx(0.75, abs=0.03)  # 4 standard deviations
    assert 1 not in firsts


def test_own_dataset(checkout: Path) -> None:
    done = run(checkout, "sh", "examples/own_dataset/run.sh", *SHORT, "method=random,lcmd-tp_grad_rp-512")
    assert "1,434 of 8,602 rows are left out because values are missing: target 'median' (616)" in done.stderr
    assert "texas_housing: 7,168 rows, 51 features" in done.stderr
    assert re.search(r"^texas_housing +-?\d", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^friedman +-?\d", done.stdout, flags=re.MULTILINE)


def test_a_description_that_is_not_called_like_its_file(checkout: Path) -> None:
    """One rule and one message for both commands; the table shows the other sets."""
    wrong = checkout / "conf/dataset/wrong.yaml"
    shutil.copy(checkout / "examples/own_dataset/texas_housing.yaml", wrong)
    message = f"error: {wrong}: its name is 'texas_housing'; write `name: wrong`, like the file"
    try:
        table, single, benchmark = (
            run(checkout, "python", "-m", *words, status=2)
            for words in (("data_prep",), ("data_prep", "dataset=wrong"), ("benchmark", "dataset=wrong"))
        )
    finally:
        wrong.unlink()
    assert message in table.stderr
    assert "sgemm: not prepared" in table.stdout
    assert single.stderr.strip() == benchmark.stderr.strip() == message


@pytest.mark.thorough
def test_benchmark(checkout: Path) -> None:
    done = run(checkout, "sh", "examples/benchmark.sh", *SHORT)
    assert "3 jobs, 3 runs: 3 methods x 1 data sets x 1 tasks x 1 splits" in done.stdout
    assert "Everything is done." in done.stdout
    assert (checkout / "figures/report.html").is_file()
    assert (checkout / "figures/example/256x1/learning_curves.png").is_file()


def test_commands_of_the_readme_are_those_tested() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    commands = re.findall(r"^(?:python|sh) (examples/\S+)", text, flags=re.MULTILINE)
    scripts = {str(p.relative_to(ROOT)) for p in (ROOT / "examples").rglob("*") if p.suffix in (".py", ".sh")}
    recipes = {script for script in scripts if script.startswith("examples/recipes/")}  # in test_recipes.py
    others = {"examples/own_method/components.py", "examples/leaderboard/mine.py"}  # read by other scripts
    others.add("examples/sharded_pool.py")  # in test_sharded_pool.py
    assert {*commands, *others} - recipes == scripts - recipes


def test_quadratic_kernel() -> None:
    X = torch.randn(6, 3, dtype=torch.float64)
    features = Quadratic().features(Network(torch.nn.Identity(), X), X)
    torch.testing.assert_close(features.kernel(features), (1 + X @ X.T / 3) ** 2)


def test_principal_axes() -> None:
    """All axes keep the kernel of the training points, the first ones most of it."""
    train = DenseFeatures(torch.randn(8, 20, dtype=torch.float64))
    generator = torch.Generator()
    whole, part = (PrincipalAxes(n).fit(train, None, 1.0, generator)(train) for n in (20, 3))
    torch.testing.assert_close(whole.kernel(whole), train.kernel(train))
    largest = torch.linalg.svdvals(train.matrix())[:3].square().sum()
    torch.testing.assert_close(part.diag().sum(), largest)


def test_lottery_draws_in_proportion() -> None:
    pool = DenseFeatures(torch.tensor([[1.0], [0.0], [3.0**0.5]]))
    generator = torch.Generator().manual_seed(0)
    firsts = [int(Lottery().select(SelectionProblem(pool[:0], pool, None, 1.0, generator), 3)[0]) for _ in range(4000)]
    assert firsts.count(2) / 4000 == pytest.approx(0.75, abs=0.03)  # 4 standard deviations
    assert 1 not in firsts

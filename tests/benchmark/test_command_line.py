"""python -m benchmark as people type it, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SMALL
from warm_python import warm_python

from benchmark.choices import check_choices, check_keys, check_sweep
from benchmark.errors import BenchmarkError
from cli.options import OptionError
from data_prep import DataError

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["training.n_epochs=2", "task.n_valid=64", "transform.rp.n_features=16", "n_threads=1"]
LONG = [*SMALL, "task.n_rounds=6", "transform.rp.n_features=16"]
"""Some short rounds, so that a signal finds the run in the middle."""
LONG_RECORD = "default/small/32x6/lcmd-tp_grad_rp-16/split-0.json"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("command-line")
    path = os.pathsep.join([str(ROOT / "tests" / "benchmark"), os.environ.get("PYTHONPATH", "")])  # of SMALL's imports
    return {**os.environ, "BMDAL_DATA": str(folder / "data"), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def command(*arguments: str) -> list[str]:
    """For a process that is to get signals."""
    return [sys.executable, "-m", "benchmark", *arguments]


def run(environment: dict[str, str], runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm_python(), "-m", "benchmark", *arguments, f"paths.runs={runs}"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def measured(runs: Path) -> dict[str, str]:
    """All records, as text, without times."""
    records = {}
    for path in sorted(runs.rglob("split-*.json")):
        record = json.loads(path.read_text())
        del record["provenance"]
        record["rounds"] = [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in record["rounds"]]
        records[str(path.relative_to(runs))] = json.dumps(record)
    return records


def test_override_people_type_and_again(environment: dict[str, str], tmp_path: Path) -> None:
    """Two folders, equal metrics and indices; the same command again does nothing."""
    arguments = [*SMALL, "task.n_rounds=2", "splits=[0,1]"]
    done = run(environment, tmp_path / "a", *arguments)
    assert done.returncode == 0, done.stderr
    assert "2 run(s) complete, 0 of them done earlier" in done.stdout
    assert "split 1, round 2/2, 128 training points, RMSE" in done.stderr
    run(environment, tmp_path / "b", *arguments)
    assert measured(tmp_path / "a") == measured(tmp_path / "b")
    assert sorted(measured(tmp_path / "a")) == [
        f"default/small/32x2/lcmd-tp_grad_rp-512/split-{s}.json" for s in (0, 1)
    ]
    again = run(environment, tmp_path / "a", *arguments)
    assert "2 run(s) complete, 2 of them done earlier" in again.stdout
    assert "round" not in again.stderr


def test_sweep_over_parts(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(
        environment, tmp_path, "-m", "selection=lcmd,random", "kernel=grad,ll", "transform=rp-512", "mode=auto",
        "task.n_rounds=1", *SHORT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.name for path in tmp_path.rglob("split-0.json")) == [
        "lcmd-tp_grad_rp-16",
        "lcmd-tp_ll_rp-16",
        "random",
    ]


def test_killed_in_the_middle_and_started_again(environment: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL in round 3; the record is then that of an unbroken run."""
    arguments = [*LONG, "training.n_epochs=12"]
    assert run(environment, tmp_path / "unbroken", *arguments).returncode == 0
    partial = (tmp_path / "broken" / LONG_RECORD).with_name("split-0.partial.json")
    with subprocess.Popen(
        command(*arguments, f"paths.runs={tmp_path / 'broken'}"), env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        partial_with(3, partial, process)
        process.send_signal(signal.SIGKILL)
    assert partial.exists()
    assert not partial.with_name("split-0.json").exists()
    resumed = run(environment, tmp_path / "broken", *arguments)
    assert resumed.returncode == 0
    assert "round 2/6" not in resumed.stderr
    assert measured(tmp_path / "broken") == measured(tmp_path / "unbroken")


def partial_with(rounds: int, path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a partial record has that many rounds."""
    deadline = time.monotonic() + 240
    while not (path.exists() and len(json.loads(path.read_text())["rounds"]) >= rounds):
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("sweep", [[], pytest.param(["-m"], marks=pytest.mark.thorough)], ids=["single", "sweep"])
def test_overwriting_that_is_interrupted(environment: dict[str, str], tmp_path: Path, sweep: list[str]) -> None:
    """The old record is gone at once; the same command without overwrite goes on with the new run."""
    arguments = [*sweep, *LONG]
    assert run(environment, tmp_path, *arguments).returncode == 0
    record = tmp_path / LONG_RECORD
    new = [*arguments, "training.n_epochs=12"]
    refused = run(environment, tmp_path, *new)
    assert refused.returncode == 2
    assert "training.n_epochs was 1 and is now 12" in refused.stderr
    with subprocess.Popen(
        command(*new, "overwrite=true", f"paths.runs={tmp_path}"),
        env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background jobs of a shell
    ) as process:  # fmt: skip
        partial_with(2, record.with_name("split-0.partial.json"), process)
        assert not record.exists()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    resumed = run(environment, tmp_path, *new)
    assert resumed.returncode == 0
    assert "round 1/6" not in resumed.stderr
    assert json.loads(record.read_text())["config"]["training"]["n_epochs"] == 12


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["device=gpu"], "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        (["device=cuda:7"], "device=cuda:7: this machine has"),
        (["hydra/launcher=local", "hydra.launcher.n_jobs=0"], "n_jobs"),
    ],
)
def test_nothing_is_overwritten_if_the_sweep_cannot_start(
    wrong: list[str], message: str, environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["-m", *LONG, "task.n_rounds=1"]
    assert run(environment, tmp_path, *arguments).returncode == 0
    (record,) = tmp_path.rglob("split-0.json")
    before = record.read_bytes()
    refused = run(environment, tmp_path, *arguments, "overwrite=true", *wrong)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert record.read_bytes() == before


def test_a_sweep_looks_at_every_split_and_at_the_data(environment: dict[str, str], tmp_path: Path) -> None:
    own = {**environment, "BMDAL_DATA": str(tmp_path / "data")}
    arguments = ["-m", "dataset=friedman", "task.n_rounds=1", "method=random", *SHORT[:2], SHORT[3]]
    assert run(own, tmp_path / "runs", *arguments, "splits=[0]").returncode == 0
    assert run(own, tmp_path / "runs", *arguments, "splits=[1]", "training.n_epochs=3").returncode == 0
    other_training = run(own, tmp_path / "runs", *arguments, "splits=[0,1]")
    assert other_training.returncode == 2
    assert "split-1.json was made with another configuration: training.n_epochs was 3" in other_training.stderr
    assert run(own, tmp_path / "runs", *arguments, "splits=[0]").returncode == 0
    moved = run(own, tmp_path / "runs", *arguments, "splits=[0]", "dataset.source.seed=1")
    assert moved.returncode == 2
    assert "data set friedman: its description has changed since" in moved.stderr
    record = tmp_path / "runs/default/friedman/256x1/random/split-0.json"
    record.write_text(re.sub('"data_hash": ".', '"data_hash": "x', record.read_text()))
    other_data = run(own, tmp_path / "runs", *arguments, "splits=[0]")
    assert other_data.returncode == 2
    assert "data_hash was x" in other_data.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=lcmd-tp_gradd_rp-512"], "unknown kernel 'gradd'. Did you mean 'grad'? Valid: grad, linear, ll"),
        (["selection=fw", "kernel=nngp", "transform=none"], "'fw' needs an explicit feature matrix"),
        (["selection=maxdiag", "mode=TP"], "'maxdiag' was given mode 'TP'; it has none, leave it out"),
        (
            ["method=random", "kernel=ll"],
            "method=random stands for kernel, transform, selection, mode; leave out kernel",
        ),
        (["task.batch_size=40000"], "the data set has 32615 points outside the test set"),
        (["task.n_valid=99999"], "99999 validation"),
        (["splits=[0,0]"], "splits must be distinct numbers"),
        (["imports=[my_metod]"], "imports=[my_metod]: No module named 'my_metod'"),
        (["method=farmean_ll"], "needs 'imports=[its_module]'"),
        (["task.n_rounds=0"], "task.n_rounds must be a whole number of at least 1, got 0"),
        (["task.n_rounds=1.5"], "task.n_rounds must be a whole number of at least 1, got 1.5"),
        (["training.n_epochs=1.5"], "training.n_epochs must be a whole number greater than 0, got 1.5"),
        (["device=gpu"], "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        (["device=null"], "device must be auto, cpu, cuda or cuda:N, got None"),
        (["n_threads=0"], "n_threads must be null or 1 to 1024, got 0"),
        (["splits=null"], "splits must be distinct numbers 0, 1, 2, ... below 2**32, e.g. 'splits=[0,1]', got None"),
        (["splits=[true]"], "splits must be distinct numbers"),
        (["sigma=abc"], "sigma must be a number greater than 0 and from 1e-150 to 1e150, got 'abc'"),
        (["imports=mine"], "imports=[mine]: No module named 'mine'"),
        (["overwrite=yess"], "overwrite must be true or false, got 'yess'"),
        (["dry_run=maybe"], "dry_run must be true or false, got 'maybe'"),
        (["-m", "overwrite=yess"], "overwrite must be true or false, got 'yess'"),
        (["experiment.name=../x"], "experiment.name must be made of letters, digits, '-', '_' and '.', got '../x'"),
        (["experiment.name=''"], "experiment.name must be made of letters"),
        (["dataset"], "'dataset' is not of the form key=value; --help lists the keys"),
    ],
)
def test_refused_before_training(
    environment: dict[str, str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(environment, tmp_path, *arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataset=fridman", r"unknown dataset 'fridman'\. Did you mean 'friedman'\? Valid: .*sgemm"),
        ("kernel=gard,ll", r"unknown kernel 'gard'\. Did you mean 'grad'\?"),
        ("task=256x5", "unknown task '256x5'.*Valid: .*256x16"),
        ("+experiment=relou", "unknown experiment 'relou'"),
        ("splits=[0", r"cannot read 'splits=\[0': "),
        ("dataset=null", "unknown dataset 'None'"),
    ],
)
def test_misspelt_choices(argument: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_choices(["-m", argument], ROOT / "conf")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "training.epochs=4",
            "unknown key 'training.epochs'. Did you mean 'training.n_epochs'? Valid: training.act",
        ),
        ("task.rounds=4", "Did you mean 'task.n_rounds'?"),
        ("split=[0]", "unknown key 'split'. Did you mean 'splits'? Valid: dataset, device, dry_run"),
        ("paths.run=x", "Did you mean 'paths.runs'? Valid: paths.data, paths.runs"),
        ("experiment.nam=x", "Did you mean 'experiment.name'?"),
    ],
)
def test_misspelt_keys(argument: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        check_keys(["-m", argument], ROOT / "conf")


def test_a_misspelt_key_is_refused_before_hydra_sees_it(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, tmp_path, "training.epochs=4")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown key 'training.epochs'. Did you mean 'training.n_epochs'?")
    added = run(environment, tmp_path, "+training.epochs=4")
    assert added.returncode == 2
    assert "unexpected keyword argument 'epochs'" in added.stderr


def test_an_experiment_without_its_plus() -> None:
    with pytest.raises(BenchmarkError, match=r"with a plus: python -m benchmark -m \+experiment=quick"):
        check_sweep(["-m", "experiment=quick"])


def test_a_description_is_called_like_its_file(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/houses.yaml").write_text("name: house\n")
    with pytest.raises(DataError, match=r"houses.yaml: its name is 'house'; write `name: houses`"):
        check_choices(["dataset=houses"], tmp_path)


def test_good_choices_and_other_arguments_pass() -> None:
    check_choices(["-m", "dataset=fried,sgemm", "training.n_epochs=3", "splits=[0,1]", "task=256x4"], ROOT / "conf")
    good = ["transform.rp.n_features=16", "kernel.layer=head", "+a.b=c", "~dataset.source", "hydra/launcher=local"]
    check_keys(["-m", "--help", *good, "hydra.launcher.n_jobs=2", "method=lcmd-tp_ll[a.b]"], ROOT / "conf")


def test_help(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, tmp_path, "--help")
    assert done.returncode == 0
    assert "python -m benchmark dataset=sgemm method=lcmd-tp_grad_rp-512" in done.stdout
    assert "selection: bait-f, bait-fb, epig, fw, igs, kmeanspp, lcmd" in done.stdout
    for name in ("bmdal", "data_prep", "results", "plots"):
        assert f"python -m {name}" in done.stdout

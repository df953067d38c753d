"""Import of the original software's result folders."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from cli.options import CONF
from results import ResultsError, load_records
from results.original import import_original
from results.overview import overview_table
from results.record import METRICS, read_record, record_path
from tests.results.synthetic import write_grid


def original_result(n_rounds: int = 2, **changes: Any) -> dict[str, Any]:
    """A results.json as the original writes it."""
    errors = {metric: [0.5 / (1 + r) for r in range(n_rounds + 1)] for metric in METRICS}
    al_stat = {
        "kernel_time": {"total": 0.25, "process": 0.5},
        "selection_time": {"total": 0.75, "process": 1.5},
        "selection_status": None,
        "eff_dim": 3.5,
    }
    result = {
        "errors": errors,
        "train_times": {"total": 30.0, "process": 60.0},
        "al_times": {"total": 2.0, "process": 4.0},
        "al_stats": [dict(al_stat) for _ in range(n_rounds)],
        "config": {"act": "silu", "lr": 0.15, "weight_gain": 0.5, "bias_gain": 1.0, "alg_name": "NN_random"},
    }
    return result | changes


def write_original(folder: Path, place: str, result: object) -> Path:
    path = folder / place / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(result if isinstance(result, str) else json.dumps(result))
    return path


def test_values_names_and_what_is_not_known(tmp_path: Path) -> None:
    result = original_result()
    result["al_stats"][1]["selection_status"] = "stuck"
    write_original(tmp_path / "old", "silu/wecs_256x2/NN_lcmd-tp_grad_rp-512/7", result)
    write_original(tmp_path / "old", "silu/my_own_set_128x2/NN_random/0", original_result())
    assert import_original(tmp_path / "old", tmp_path / "runs") == 2
    record = read_record(
        record_path(tmp_path / "runs", "original-silu", "wec_sydney", "256x2", "lcmd-tp_grad_rp-512", 7)
    )
    assert [r.rmse for r in record.rounds] == result["errors"]["rmse"]
    assert [r.n_train for r in record.rounds] == [256, 512, 768]
    assert [r.n_filled for r in record.rounds] == [0, None, None]
    assert [r.kernel_seconds for r in record.rounds] == [0.25, 0.25, None]
    assert [r.train_seconds for r in record.rounds] == [10.0] * 3
    assert record.rounds[0].effective_dimension == 3.5
    frame = load_records(tmp_path / "runs")
    assert set(frame["dataset"]) == {"wec_sydney", "my_own_set"}
    ours = OmegaConf.load(CONF / "training" / "silu.yaml")
    assert frame["training"].iloc[0] == ", ".join(f"{key}={ours[key]}" for key in ours if key != "_target_")


def test_imported_runs_stay_apart_from_ones_own(tmp_path: Path) -> None:
    write_grid(tmp_path / "runs", "relu", ["fried"], "256x2", ["random"], range(2))
    for split in (0, 2):
        write_original(tmp_path / "old", f"relu/fried_256x2/NN_random/{split}", original_result())
    assert import_original(tmp_path / "old", tmp_path / "runs") == 2
    frame = load_records(tmp_path / "runs")
    splits = {str(name): sorted(part.unique()) for name, part in frame.groupby("experiment", observed=True)["split"]}
    assert splits == {"relu": [0, 1], "original-relu": [0, 2]}


def test_overview_of_imported_runs_has_whole_words(tmp_path: Path) -> None:
    write_original(tmp_path / "old", "relu/fried_256x2/NN_random/0", original_result())
    import_original(tmp_path / "old", tmp_path / "runs")
    overview = overview_table(load_records(tmp_path / "runs"))
    shown = {name: cell.text for (name, _), cell in zip(overview.columns, overview.rows[0], strict=True)}
    assert (shown["experiment"], shown["first"], shown["last"], shown["device"]) == (
        "original-relu",
        "unknown",
        "–",
        "unknown",
    )


def test_second_import_leaves_records_as_they_are(tmp_path: Path) -> None:
    write_original(tmp_path / "old", "relu/fried_256x2/NN_random/0", original_result())
    assert import_original(tmp_path / "old", tmp_path / "runs") == 1
    path = record_path(tmp_path / "runs", "original-relu", "fried", "256x2", "random", 0)
    before = path.stat().st_mtime_ns
    assert import_original(tmp_path / "old", tmp_path / "runs") == 0
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        (original_result(errors={}), "KeyError"),
        (original_result(n_rounds=1), "expected 2 rounds"),
        (original_result(al_stats=[{}, {}]), "KeyError"),
        (original_result(errors={metric: [1.0, float("nan"), 1.0] for metric in METRICS}), "not finite"),
    ],
)
def test_damaged_result_is_named(tmp_path: Path, result: object, reason: str) -> None:
    path = write_original(tmp_path / "old", "relu/fried_256x2/NN_random/0", result)
    with pytest.raises(ResultsError, match=reason) as raised:
        import_original(tmp_path / "old", tmp_path / "runs")
    assert str(path) in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="give the folder that holds the experiments"):
        import_original(tmp_path, tmp_path / "runs")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_folder_written_by_the_original_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)
    monkeypatch.setattr(np, "int", int, raising=False)
    torch = pytest.importorskip("torch")
    train = pytest.importorskip("bmdal_reg.train", reason="the original, bmdal-reg, is not installed")
    from bmdal_reg import custom_paths, utils
    from bmdal_reg.data import DictDataset

    monkeypatch.setattr(custom_paths.CustomPaths, "results_path", str(tmp_path / "old"))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 4, generator=generator)
    data = DictDataset({"X": x, "y": x.sin().sum(dim=1, keepdim=True)})
    # The original takes a split by these attributes; its own class would want its data sets downloaded.
    bounds = {"train_idxs": (0, 256), "valid_idxs": (256, 320), "pool_idxs": (320, 700), "test_idxs": (700, 900)}
    split = SimpleNamespace(
        id=3,
        task_name="fried_64x2",
        data=data,
        al_batch_sizes=[64, 64],
        **{name: torch.arange(*bound) for name, bound in bounds.items()},
    )
    trainer = train.ModelTrainer(
        "NN_lcmd-tp_ll",
        base_kernel="ll",
        kernel_transforms=[],
        selection_method="lcmd",
        sel_with_train=True,
        compute_eff_dim=True,
        act="relu",
        n_epochs=2,
        hidden_sizes=[32, 32],
        lr=0.375,
        weight_gain=0.2,
        bias_gain=0.2,
    )
    result = trainer(split, device="cpu")
    path = trainer.get_result_file_path("relu", split.task_name, split.id)
    utils.serialize(path, result, use_json=True)
    assert import_original(tmp_path / "old", tmp_path / "runs") == 1
    frame = load_records(tmp_path / "runs")
    assert (frame["dataset"] == "fried").all()
    assert frame["n_train"].tolist() == [256, 320, 384]
    for metric in METRICS:
        assert frame[metric].tolist() == result["errors"][metric]
    assert frame["effective_dimension"].tolist()[:2] == [stat["eff_dim"] for stat in result["al_stats"]]
    assert frame["selection_seconds"].tolist()[:2] == [s["selection_time"]["total"] for s in result["al_stats"]]

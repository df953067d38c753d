"""The loop: protocol, records, resumption, repeatability, refusals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from benchmark import loop
from benchmark.errors import BenchmarkError
from benchmark.loop import run_splits
from benchmark.run import Run, device_name
from benchmark.split import make_split
from cli.progress import Progress
from results.record import RecordError, RunRecord, partial_path, read_partial, read_record, write_record

MakeRun = Callable[..., Run]


def run_all(run: Run, splits: Sequence[int] = (0,)) -> list[RunRecord]:
    with Progress("test") as progress:
        return run_splits(run, splits, progress)


def measured(record: RunRecord) -> list[dict[str, object]]:
    """What must not depend on when, or in how many parts, a run was done."""
    return [{k: v for k, v in dataclasses.asdict(r).items() if not k.endswith("seconds")} for r in record.rounds]


def interrupted(run: Run, round_: int, monkeypatch: pytest.MonkeyPatch, splits: Sequence[int] = (0,)) -> None:
    """Run up to a round, which is begun and not finished."""
    train_round = loop._train

    def interrupt(run_: Run, now: int, *args: object) -> object:
        if now == round_:
            raise KeyboardInterrupt
        return train_round(run_, now, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_all(run, splits)


@pytest.mark.parametrize("method", ["random", "lcmd-tp_grad_rp-64", "bait-f-p_ll_ens-2_rp-64_train"])
def test_protocol(make_run: MakeRun, method: str) -> None:
    run = make_run(method)
    (record,) = run_all(run, [5])
    split = make_split(3000, 600, run.task, 5)
    assert record.complete
    assert [r.n_train for r in record.rounds] == [64, 96, 128, 160]
    chosen = np.concatenate([r.indices for r in record.rounds[:-1]])
    assert len(set(chosen.tolist())) == 96
    assert set(chosen.tolist()) <= set(split.pool.tolist())
    assert record.rounds[-1].indices is None
    assert all(0 < r.mae < r.rmse < r.maxe and r.mae < r.q95 <= r.q99 <= r.maxe for r in record.rounds)
    assert read_record(run.path(5)) == record
    assert not partial_path(run.path(5)).exists()


def test_record_says_where_its_numbers_come_from(make_run: MakeRun) -> None:
    run = make_run()
    (record,) = run_all(run)
    assert run.path(0).relative_to(run.runs).as_posix() == "test/small/32x3/lcmd-tp_grad_rp-64/split-0.json"
    assert record.config["method"] == {"name": "lcmd-tp_grad_rp-64", "sigma": 1e-3}
    assert record.config["training"]["n_epochs"] == 3
    assert record.provenance.data_hash == run.data.data_hash
    assert record.provenance.finished is not None
    assert record.rounds[0].effective_dimension is not None
    json.dumps(dataclasses.asdict(record))


def test_repeatable_and_equal_start_for_all_methods(make_run: MakeRun, tmp_path) -> None:
    first = run_all(make_run(runs=tmp_path / "a"))[0]
    second = run_all(make_run(runs=tmp_path / "b"))[0]
    other = run_all(make_run("random"))[0]
    assert measured(first) == measured(second)
    assert first.rounds[0].rmse == other.rounds[0].rmse
    assert first.rounds[1].rmse != other.rounds[1].rmse


def test_resumed_run_equals_unbroken_one(make_run: MakeRun, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in any round, before its record is written."""
    unbroken = run_all(make_run(runs=tmp_path / "unbroken"), [3, 4])
    for broken_round in range(4):
        run = make_run(runs=tmp_path / f"broken-{broken_round}")
        interrupted(run, broken_round, monkeypatch, [3, 4])
        assert partial_path(run.path(3)).exists() == (broken_round > 0)
        assert [measured(r) for r in run_all(run, [3, 4])] == [measured(r) for r in unbroken]


@pytest.mark.parametrize("complete", [False, True])
def test_partial_record_with_all_rounds_is_finished(make_run: MakeRun, complete: bool) -> None:
    run = make_run()
    (record,) = run_all(run)
    run.path(0).unlink()
    write_record(dataclasses.replace(record, complete=complete), partial_path(run.path(0)))
    (finished,) = run_all(run)
    assert finished.rounds == record.rounds
    assert read_record(run.path(0)) == finished
    assert not partial_path(run.path(0)).exists()


@pytest.mark.parametrize("row", [2999, 10**30])
def test_selected_points_must_be_in_the_pool(make_run: MakeRun, row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    interrupted(run, 2, monkeypatch)
    split = make_split(3000, 600, run.task, 0)
    path, outside = partial_path(run.path(0)), row if row > 3000 else int(split.test[0])
    raw = json.loads(path.read_text())
    raw["rounds"][1]["indices"][5] = outside
    path.write_text(json.dumps(raw))
    with pytest.raises(
        RecordError, match=rf"rounds\[1\]\.indices should be rows of the pool of split 0, got {outside};"
    ):
        run_all(run)


def test_a_run_goes_on_from_known_points_alone(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    interrupted(run, 2, monkeypatch)
    path = partial_path(run.path(0))
    record = read_partial(path)
    write_record(
        dataclasses.replace(record, rounds=tuple(dataclasses.replace(r, indices=None) for r in record.rounds)), path
    )
    with pytest.raises(RecordError, match=r"rounds\[0\]\.indices should be numbers, got None"):
        run_all(run)


def test_complete_run_is_not_repeated(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    before = run_all(run)
    monkeypatch.setattr(loop, "_round", None)
    assert run_all(run) == before


def test_other_configuration_in_the_same_place_is_an_error(make_run: MakeRun) -> None:
    before = run_all(make_run())
    other = make_run(n_epochs=4, learning_rate=0.1)
    with pytest.raises(BenchmarkError, match=r"training\.learning_rate was 0\.375 and is now 0\.1; training\.n_epochs"):
        run_all(other)
    assert read_record(other.path(0)) == before[0]


def test_damaged_record_is_named_and_left_alone(make_run: MakeRun) -> None:
    run = make_run()
    run.path(0).parent.mkdir(parents=True)
    run.path(0).write_text('{"format_version": 1')
    with pytest.raises(RecordError, match=r"split-0\.json: Invalid JSON: EOF"):
        run_all(run)
    assert run.path(0).read_text() == '{"format_version": 1'


def test_nothing_is_trained_before_all_splits_are_checked(make_run: MakeRun) -> None:
    run = make_run()
    run.path(1).parent.mkdir(parents=True)
    run.path(1).write_text("{}")
    with pytest.raises(RecordError):
        run_all(run, [0, 1])
    assert not partial_path(run.path(0)).exists()


def test_divergence_is_named_with_round_and_split(make_run: MakeRun) -> None:
    with pytest.raises(BenchmarkError, match=r"split 2, round 0: training diverged.*learning_rate=1e\+30"):
        run_all(make_run(learning_rate=1e30), [2])


def test_nan_target_is_named(make_run: MakeRun) -> None:
    run = make_run()
    y = run.data.y.copy()
    y[7] = np.nan
    with pytest.raises(BenchmarkError, match="target of row 7"):
        run_all(dataclasses.replace(run, data=dataclasses.replace(run.data, y=y)))


def test_a_run_that_goes_on_elsewhere_says_so(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    first = dataclasses.replace(run, timed_alone=True)
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.run.device_name", lambda device: "another device")
        interrupted(first, 2, monkeypatch)
    assert read_partial(partial_path(run.path(0))).provenance.device == "another device"
    interrupted(run, 3, monkeypatch)
    (record,) = run_all(run)
    assert record.provenance.device == device_name(torch.device("cpu"))
    assert record.provenance.earlier == ({"n_rounds": 2, "device": "another device"},)
    assert not record.provenance.timed_alone
    assert read_record(run.path(0)) == record


def test_a_run_that_goes_on_here_is_one_run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dataclasses.replace(make_run(), timed_alone=True)
    interrupted(run, 2, monkeypatch)
    (record,) = run_all(run)
    assert record.provenance.earlier == ()
    assert record.provenance.timed_alone


def test_name_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch is asked for must exist, also where there is no GPU to answer."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device}")
    assert device_name(torch.device("cuda:1")) == "the GPU cuda:1"


@pytest.mark.gpu
def test_splits_side_by_side_on_a_gpu(make_run: MakeRun) -> None:
    """The same protocol, nearly the same errors as on the CPU; a run resumed beside fresh ones."""
    on_cpu = run_all(make_run(n_epochs=20), [0, 1, 2])
    run = dataclasses.replace(make_run(n_epochs=20), device=torch.device("cuda"), experiment="gpu")
    run_all(run, [1])
    on_gpu = run_all(run, [0, 1, 2])
    for cpu, gpu in zip(on_cpu, on_gpu, strict=True):
        assert gpu.complete
        assert "cpu" not in gpu.provenance.device
        assert gpu.rounds[0].rmse == pytest.approx(cpu.rounds[0].rmse, rel=0.02)

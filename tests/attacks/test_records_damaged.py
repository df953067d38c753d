"""Damaged records: whatever is in a file, it is read with the values that it has, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results import ResultsError, load_records
from results.__main__ import main
from results.record import (
    FailureRecord,
    RecordError,
    RunRecord,
    failed_path,
    partial_path,
    read_failure,
    read_partial,
    read_record,
    record_path,
)
from tests.attacks.records_attacked import is_complete, says_the_same
from tests.results.synthetic import make_record

pytestmark = pytest.mark.attacks
Raw = dict[str, Any]
Change = Callable[[Raw], object]
Read = TypeVar("Read", RunRecord, FailureRecord)

RUN = ("mini", "fried", "4x2", "random", 0)
CONFIG = {
    "task": {"batch_size": 4, "n_rounds": 2, "n_initial": 256, "n_valid": 1024},
    "training": {"activation": "relu", "n_epochs": 3},
}
RECORD = replace(make_record(*RUN, with_indices=True), config=CONFIG)
COMPLETE: Raw = json.loads(json.dumps(asdict(RECORD)))
PARTIAL: Raw = {**COMPLETE, "complete": False, "rounds": COMPLETE["rounds"][:2]}
FAILURE: Raw = asdict(FailureRecord(*RUN, config=CONFIG, error="e", traceback="t", host="h", failed="2026"))
TEXT = json.dumps(COMPLETE, indent=1).encode()

EXTREMES = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 2**100, 10**400, 0.0, -0.0, 1.0, 0.5, -1.5,
    5e-324, 1e308, float("inf"), float("-inf"), float("nan"), "", "0", "many", "x" * 10**5, "x" * 10**6, "\0", "\ud800",
    "\udfff", "=1+1", "../x", [], {}, [[]], [None], [0], {"": None}, {"\ud800": 1}, {"a": float("inf")},
]  # fmt: skip
JUNK = st.sampled_from(EXTREMES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def nested(depth: int) -> list[Any]:
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree]
    return tree


@st.composite
def mutations(draw: st.DrawFn, raw: Raw) -> bytes:
    """A record in which one to three things have been changed, anywhere in its tree."""
    tree: Any = {"": deepcopy(raw)}
    for _ in range(draw(st.integers(1, 3))):
        node, key = tree, ""
        while isinstance(node[key], dict | list) and node[key] and (node is tree or draw(st.booleans())):
            node = node[key]
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if node is tree and not isinstance(tree[""], dict):
            break
        match draw(st.sampled_from(["delete", "replace", "rename", "swap", "double", "nudge"])):
            case "delete" if node is not tree:
                del node[key]
            case "rename" if isinstance(node, dict) and node is not tree:
                node[draw(st.text(max_size=5))] = node.pop(key)
            case "swap":
                other = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
                node[key], node[other] = node[other], node[key]
            case "double" if isinstance(node, list):
                node.insert(draw(st.integers(0, len(node))), deepcopy(node[key]))
            case "nudge" if type(node[key]) is int and abs(node[key]) < 10**30:
                node[key] = node[key] + draw(st.sampled_from([-1, 1, 0.5]))
            case _:
                node[key] = deepcopy(draw(JUNK))
    return json.dumps(tree[""]).encode()


def place(runs: Path, content: bytes, name: Callable[[Path], Path] = lambda path: path) -> Path:
    path = name(record_path(runs, *RUN))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # writing into a file that is there already waits for the disk
    path.write_bytes(content)
    return path


def read_or_refuse(read: Callable[[Path], Read], path: Path) -> Read | None:
    """What is read from a file; None if it is refused, for which one line must name it."""
    try:
        return read(path)
    except RecordError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert len(message) < 1000
    assert len(message.splitlines()) == 1
    return None


def check_complete(runs: Path, content: bytes) -> bool:
    """Whether a file is read as a complete record, alone and in a folder; it must then be one."""
    path = place(runs, content)
    record = read_or_refuse(read_record, path)
    if record is not None:
        raw = json.loads(content)
        assert is_complete(raw)
        assert says_the_same(record, raw)
    check_folder(runs, path, record)
    return record is not None


def check_folder(runs: Path, path: Path, record: RunRecord | None) -> None:
    """A folder is read without the selected points, of which less is checked."""
    skipped: list[RecordError] = []
    try:
        frame = load_records(runs, skipped=skipped)
    except ResultsError:
        assert record is None
        assert [str(error).startswith(f"{path}: ") for error in skipped] == [True]
        return
    assert skipped == []
    assert list(frame["round"]) == [0, 1, 2]
    if record is not None:
        assert list(frame["rmse"]) == [measured.rmse for measured in record.rounds]


ATTACK = settings(
    max_examples=700, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_the_record_itself_is_read(tmp_path: Path) -> None:
    assert check_complete(tmp_path, TEXT)
    assert read_record(record_path(tmp_path, *RUN)) == RECORD


@ATTACK
@given(mutations(COMPLETE))
def test_mutated_records(tmp_path: Path, content: bytes) -> None:
    check_complete(tmp_path, content)


@ATTACK
@given(mutations(PARTIAL))
def test_mutated_partial_records(tmp_path: Path, content: bytes) -> None:
    path = place(tmp_path, content, partial_path)
    record = read_or_refuse(read_partial, path)
    if record is None:
        return
    raw = json.loads(content)
    assert says_the_same(record, raw)
    assert record.complete == (is_complete(raw) if raw.get("complete") else False)
    assert [measured.round for measured in record.rounds] == list(range(len(record.rounds)))
    rows = [row for measured in record.rounds for row in measured.indices or ()]
    assert len(set(rows)) == len(rows) == 4 * min(len(record.rounds), 2) or not rows


@ATTACK
@given(mutations(FAILURE))
def test_mutated_failures(tmp_path: Path, content: bytes) -> None:
    path = place(tmp_path, content, failed_path)
    failure = read_or_refuse(read_failure, path)
    if failure is not None:
        assert asdict(failure) == {"format_version": 1, **json.loads(content)}


def places(node: Any) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value of a tree."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (key,)
        yield from ((key, *below) for below in places(node[key]))


@pytest.mark.parametrize("raw", [COMPLETE, PARTIAL], ids=["complete", "partial"])
def test_every_value_replaced_by_every_extreme(tmp_path: Path, raw: Raw) -> None:
    read, name = (read_record, str) if raw is COMPLETE else (read_partial, partial_path)
    for keys in places(raw):
        for value in EXTREMES:
            content = changed(put(*keys, value), raw)
            record = read_or_refuse(read, place(tmp_path, content, lambda path: Path(name(path))))
            assert record is None or says_the_same(record, json.loads(content))
            assert record is None or not record.complete or is_complete(json.loads(content))


def test_every_key_deleted_or_renamed(tmp_path: Path) -> None:
    for *above, key in places(COMPLETE):
        for new in (None, f"{key}x", ""):

            def change(raw: Any, above: list[Any] = above, key: Any = key, new: str | None = new) -> None:
                for step in above:
                    raw = raw[step]
                value = raw.pop(key)
                if new is not None and isinstance(raw, dict):
                    raw[new] = value

            check_complete(tmp_path, changed(change))


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    for length in range(len(TEXT)):
        assert read_or_refuse(read_record, place(tmp_path, TEXT[:length])) is None


def test_every_bit_flipped(tmp_path: Path) -> None:
    """A digit that became another one cannot be known; all else is refused by name."""
    n_read = 0
    for byte in range(len(TEXT)):
        for bit in range(8):
            content = bytearray(TEXT)
            content[byte] ^= 1 << bit
            record = read_or_refuse(read_record, place(tmp_path, bytes(content)))
            if record is not None:
                n_read += 1
                raw = json.loads(bytes(content))
                assert is_complete(raw)
                assert says_the_same(record, raw)
    assert 0 < n_read < 2 * len(TEXT)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 10**5, b'{"a":' * 10**5, b"null", b"[]", b'"x"', b"1e999", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf" + TEXT,
        TEXT + TEXT, TEXT + b"x", b"\0" * 4096, TEXT.replace(b"fried", b"fr\xffed"), TEXT.decode().encode("utf-16"),
        json.dumps({**COMPLETE, "config": {"a": {"b": nested(180)}}}).encode(),
        json.dumps({**COMPLETE, "config": {"a": {"b": nested(900)}}}).encode(),
    ],
)  # fmt: skip
def test_no_record_at_all(tmp_path: Path, content: bytes) -> None:
    check_complete(tmp_path, content)


def changed(change: Change, raw: Raw = COMPLETE) -> bytes:
    raw = deepcopy(raw)
    change(raw)
    return json.dumps(raw).encode()


def put(*keys_and_value: Any) -> Change:
    *keys, last, value = keys_and_value

    def change(raw: Any) -> None:
        for key in keys:
            raw = raw[key]
        raw[last] = value

    return change


DAMAGED: dict[str, tuple[Change, str]] = {
    "config a list": (put("config", []), "config should be an object, got []"),
    "config of numbers": (put("config", "training", 1), "config.training should be an object, got 1"),
    "infinite setting": (put("config", "training", "lr", float("inf")), "config.training Out of range float values"),
    "threads a word": (put("provenance", "n_threads", "many"), "provenance.n_threads should be a valid integer, got"),
    "truth as a number": (put("provenance", "seed", True), "provenance.seed should be a valid integer, got True"),
    "host a number": (put("provenance", "host", 1), "provenance.host should be a valid string, got 1"),
    "long host": (put("provenance", "host", "x" * 10**6), "provenance.host should have at most 1000 characters, got"),
    "surrogate": (put("provenance", "host", "\ud800"), "Invalid JSON: "),
    "split as text": (put("split", "0"), "split should be a valid integer, got '0'"),
    "negative split": (put("split", -1), "split should be greater than or equal to 0, got -1"),
    "other split": (put("split", 1), "holds the record that belongs to"),
    "huge n_train": (put("rounds", 1, "n_train", 1e30), "rounds[1].n_train should be a valid integer, got 1e+30"),
    "other n_train": (put("rounds", 1, "n_train", 261), "rounds[1] should have round=1, n_train=260"),
    "other start": (put("config", "task", "n_initial", 8), "config.task.n_initial should be 256"),
    "other n_rounds": (put("config", "task", "n_rounds", 3), "config.task.n_rounds should be 2"),
    "infinite error": (put("rounds", 1, "rmse", float("inf")), "rounds[1].rmse should be a finite number, got inf"),
    "negative time": (put("rounds", 1, "train_seconds", -1), "rounds[1].train_seconds should be greater than or equal"),
    "no rounds": (put("rounds", []), "rounds should be 3 in a complete record of 4x2, got 0"),
    "one round": (put("rounds", COMPLETE["rounds"][:1]), "rounds should be 3 in a complete record of 4x2, got 1"),
    "doubled round": (put("rounds", COMPLETE["rounds"][:2] + COMPLETE["rounds"][1:2]), "rounds[2] should have round=2"),
    "a fourth round": (put("rounds", COMPLETE["rounds"] * 2), "rounds should be 3 in a complete record of 4x2, got 6"),
    "reordered": (put("rounds", COMPLETE["rounds"][::-1]), "config.task.n_initial should be 264"),
    "key missing": (lambda raw: raw["rounds"][1].pop("rmse"), "rounds[1].rmse is missing"),
    "unknown key": (put("provenance", "gpu", 1), "'provenance.gpu' is not known"),
    "not complete": (put("complete", False), "complete should be true, got false"),
    "last selects": (put("rounds", 2, "indices", [7, 8, 9, 10]), "rounds[2].indices should be null"),
    "too many filled": (put("rounds", 1, "n_filled", 5), "n_filled of at most 4"),
    "task a word": (put("task", "large"), "task should be <batch size>x<rounds>"),
    "other format": (put("format_version", 2), "record format 2, this version reads 1"),
    "format a truth": (put("format_version", True), "record format True, this version reads 1"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_commands_name_it_or_skip_it(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = DAMAGED[damage]
    path = place(tmp_path, changed(change))
    whole = record_path(tmp_path, *RUN[:4], 1)
    whole.write_text(json.dumps({**COMPLETE, "split": 1}))
    assert main([f"paths.runs={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert main([f"paths.runs={tmp_path}", "skip_damaged=true"]) == 0
    assert f"skipped: {path}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2, 3], "should be 4 numbers, got 3"),
        ([], "should be 4 numbers, got 0"),
        (None, "rounds[1].indices should be a valid array, got None"),
        ([1, 2, 3, 3], "should be different in all rounds, got 3 twice"),
        (COMPLETE["rounds"][0]["indices"], "should be different in all rounds"),
        ([1, 2, 3, -4], "should be at least 0, got -4"),
        ([1, 2, 3, 4.0], "rounds[1].indices[3] should be a valid integer, got 4.0"),
        ([1, 2, 3, "4"], "rounds[1].indices[3] should be a valid integer, got '4'"),
        ([1, 2, 3, True], "rounds[1].indices[3] should be a valid integer, got True"),
        ({}, "rounds[1].indices should be a valid array, got {}"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_selected_points(tmp_path: Path, rows: Any, message: str, complete: bool) -> None:
    content = changed(put("rounds", 1, "indices", rows), COMPLETE if complete else PARTIAL)
    path = place(tmp_path, content, (lambda path: path) if complete else partial_path)
    with pytest.raises(RecordError) as raised:
        (read_record if complete else read_partial)(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)

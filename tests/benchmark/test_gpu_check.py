"""The check of a GPU, tried out on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import gpu_check


def test_a_part_that_fails_stops_no_other_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: gpu_check.Check) -> Iterator[str]:
        yield "so far"
        raise RuntimeError("other points")

    monkeypatch.setitem(gpu_check.PARTS, "parity", fails)
    monkeypatch.setitem(gpu_check.PARTS, "memory", lambda _: iter(["all is well"]))
    arguments = ["device=cpu", f"paths.runs={tmp_path}", "minutes=1"]
    assert gpu_check.main([*arguments, "parts=parity,memory"]) == 1
    page = (tmp_path / "gpu_check" / "page.md").read_text()
    assert page.startswith("# CPU")
    assert "so far\nfailed: RuntimeError: other points" in page
    assert "## memory\n\nall is well" in page
    assert gpu_check.main([*arguments, "parts=memory"]) == 0


@pytest.mark.thorough
def test_memory(tmp_path: Path) -> None:
    arguments = ["device=cpu", "parts=memory", "dataset=friedman", f"paths.runs={tmp_path}", f"paths.data={tmp_path}"]
    assert gpu_check.main([*arguments, "minutes=2"]) == 0
    assert "2 of 2 runs complete" in (tmp_path / "gpu_check" / "page.md").read_text()

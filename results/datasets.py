"""The parts of the data-set descriptions in conf/dataset that results need."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from results.render import Cell, Table

_FOLDER = Path(__file__).parent.parent / "conf" / "dataset"


def original_names() -> dict[str, str]:
    """Map the names of data sets in the original's result folders to ours, where they differ."""
    return {d.published_name: d.name for d in _descriptions() if d.get("published_name")}


def datasets_table() -> Table:
    """Make a table of the data sets: the paper's counts for the task 256x16, licence and citation."""
    columns = (
        ("dataset", "Data set"),
        ("pool", "Pool"),
        ("test", "Test"),
        ("features", "d"),
        ("licence", "Licence"),
        ("citation", "Citation"),
    )
    rows = tuple(
        (
            Cell(description.name),
            *(Cell(int(description.expected[count])) for count in ("pool", "test", "features")),
            Cell(description.get("licence") or "–"),
            Cell(description.get("citation") or "–"),
        )
        for description in _descriptions()
        if description.get("expected")
    )
    return Table("datasets", "Data sets, with the counts of the task 256x16", columns, rows)


def _descriptions() -> list[DictConfig]:
    descriptions = []
    for path in sorted(_FOLDER.glob("*.yaml")):
        description = OmegaConf.load(path)
        assert isinstance(description, DictConfig)
        description.setdefault("name", path.stem)
        descriptions.append(description)
    return descriptions

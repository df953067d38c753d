"""How each column of a raw table was used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from data_prep.columns import Columns
from data_prep.errors import DataError
from data_prep.features import MAX_ONE_HOT, Feature
from data_prep.rows import Rows
from data_prep.tables import Table
from data_prep.words import Counts, Likeness, alike, likeness, shown

Fate = Literal["number", "category", "target", "constant", "too many values", "drop", "ignored"]

MAX_UNDECLARED = 20  # maximum number of values for treating a column that looks numeric as a category, with a warning


@dataclass(frozen=True)
class Column:
    """One column of the raw table.

    fate: the use as a number, a category or a target, or why it was left out: the description drops it, the source says
        that it is not an input (a row number), it is constant on the kept rows, or it has too many values to encode.
    declared: whether the description or the file declares it a category.
    features: its first column in X, and one past its last.
    n_values: number of distinct values of a text column in the kept rows.
    looks_like: what the values of a text column look like if it was not declared a category.
    n_words, words: the number of values in all rows that are not numbers, and the three most frequent with their
        counts; for numeric columns, and for undeclared columns that look like numbers or were left out.
    alike: two values of a category that differ only in case, blanks, or how a number is written.
    centre: the number that was subtracted from the raw values in X.
    lost: the number of distinct values before and after the cast to float32, if the cast loses their differences.
    rounded: a whole number beyond 2^53, as written and as read.
    """

    name: str
    position: int
    fate: Fate
    declared: bool = False
    features: tuple[int, int] | None = None
    n_values: int | None = None
    looks_like: Likeness | None = None
    n_words: int = 0
    words: Counts = ()
    alike: tuple[str, ...] = ()
    centre: float | None = None
    lost: tuple[int, int] | None = None
    rounded: tuple[str, float] | None = None

    def as_plain(self) -> dict[str, Any]:
        """Convert to plain data for meta.json, without fields that have their default."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Column:
        """Convert from the plain data of meta.json."""
        return cls(**{key: _as_tuples(value) for key, value in plain.items()})


def account(
    table: Table,
    columns: Columns,
    rows: Rows,
    features: Sequence[Feature],
    rounded: Mapping[int, tuple[str, float]],
) -> tuple[Column, ...]:
    """Describe the use of each column of the table, in order."""
    places: dict[int, tuple[int, int]] = {}
    for j, feature in enumerate(features):
        places[feature.column] = (places.get(feature.column, (j, j))[0], j + 1)
    return tuple(
        _column(i, name, table, columns, rows, places.get(i), features, rounded.get(i))
        for i, name in enumerate(table.columns)
    )


def refuse_unclear(columns: Sequence[Column]) -> None:
    """Refuse columns that look numeric but would be left out or one-hot encoded with more than 20 values.

    Raises DataError unless the description or the file declares the columns.
    """
    unclear = [c for c in columns if is_unclear(c) and (c.features is None or (c.n_values or 0) > MAX_UNDECLARED)]
    if unclear:
        more = f"; and {len(unclear) - 5} more such columns" if len(unclear) > 5 else ""
        texts = "; ".join(f"{unclear_text(c)}, {_otherwise(c)}" for c in unclear[:5])
        raise DataError(f"{texts}{more}. {remedy(unclear[:5], columns)}")


def is_unclear(column: Column) -> bool:
    """Return whether a column looks numeric, is treated as a category, and was not declared as one."""
    return column.looks_like == "numbers" and column.fate in ("category", "too many values")


def unclear_text(column: Column) -> str:
    """Describe what is unclear about a column."""
    if not column.n_words:
        return f"column {column.name!r} holds numbers as text"
    n = f"{column.n_words:,} values are not plain numbers" if column.n_words > 1 else "1 value is not a plain number"
    return f"column {column.name!r} looks like numbers, but {n}: {shown(column.words)}"


def remedy(unclear: Sequence[Column], columns: Sequence[Column]) -> str:
    """Describe the settings that resolve unclear columns."""
    listed = ", ".join(label(c, columns) for c in unclear)
    text = (
        f"In the description, write `numeric: [{listed}]` if values that are not numbers are missing values, "
        f"`categorical: [{listed}]` if the values are categories, or `drop: [{listed}]`"
    )
    if any(character.isdigit() for c in unclear for word, _ in c.words for character in word):
        text += "; numbers with units, signs or thousands separators must be converted to plain numbers in the file"
    return text


def label(column: Column, columns: Sequence[Column]) -> str:
    """Return the column's name as written in a description, or its position if several columns have the name."""
    return repr(column.name) if [c.name for c in columns].count(column.name) == 1 else str(column.position)


def _otherwise(column: Column) -> str:
    if column.features is None:
        return f"and as a category its {column.n_values:,} values are too many (at most {MAX_ONE_HOT} are encoded)"
    return f"and as a category it would make {column.features[1] - column.features[0]} columns"


def _column(
    i: int,
    name: str,
    table: Table,
    columns: Columns,
    rows: Rows,
    place: tuple[int, int] | None,
    features: Sequence[Feature],
    rounded: tuple[str, float] | None,
) -> Column:
    words = rows.words.get(i)
    n_words, most_common = (words.n, words.most_common()) if words else (0, ())
    if i in columns.targets:
        return Column(name, i, "target", n_words=n_words, words=most_common, rounded=rounded)
    if i in columns.dropped:
        return Column(name, i, "drop")
    if i not in columns.inputs:
        return Column(name, i, "ignored")
    if i not in rows.categorical:
        if place is None:
            return Column(name, i, "constant", n_words=n_words, words=most_common)
        feature = features[place[0]]
        return Column(
            name,
            i,
            "number",
            features=place,
            n_words=n_words,
            words=most_common,
            centre=feature.centre,
            lost=feature.lost,
            rounded=rounded,
        )
    values = [str(value) for value in rows.frame[i].unique()]
    if len(values) == 1:
        return Column(name, i, "constant", i in columns.categorical)
    fate: Fate = "category" if place else "too many values"
    if i in columns.categorical:
        same = () if i in table.nominal else alike(values)
        return Column(name, i, fate, True, place, len(values), alike=same)
    looks_like = likeness(values)
    if looks_like != "numbers" and place:
        n_words, most_common = 0, ()
    return Column(name, i, fate, False, place, len(values), looks_like, n_words, most_common, alike(values))


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value

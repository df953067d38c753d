"""What became of each column of a raw table."""

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

MAX_UNDECLARED = 20  # values of a column that looks like numbers and is yet taken as a category, with a warning


@dataclass(frozen=True)
class Column:
    """One column of the raw table.

    fate: an input as a number or as a category, a target, or why it was left out: the description drops it, the source
        says that it is none (a row number), it is constant on the kept rows, or has too many values to be encoded.
    declared: the description or the file says that it is a category.
    features: the first of its columns in X and the one after its last.
    n_values: number of different values of a column of text, on the kept rows.
    looks_like: what a column of text looks like that nobody declared to be categorical.
    n_words, words: how many values are no numbers, in all rows, and the three most frequent with their counts; of a
        column of numbers and of an undeclared one that looks like numbers or was left out.
    alike: two values of a category that differ only in case, blanks, or the way in which a number is written.
    centre: X holds the raw values less this number.
    lost: numbers of different values before and after the cast to float32, if that loses what they differ in.
    rounded: a whole number beyond 2^53 as written, and as it was read.
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
        """For meta.json: what there is to say, the defaults left out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Column:
        """From meta.json."""
        return cls(**{key: _as_tuples(value) for key, value in plain.items()})


def account(
    table: Table,
    columns: Columns,
    rows: Rows,
    features: Sequence[Feature],
    rounded: Mapping[int, tuple[str, float]],
) -> tuple[Column, ...]:
    """One entry for each column of the table, in its order."""
    places: dict[int, tuple[int, int]] = {}
    for j, feature in enumerate(features):
        places[feature.column] = (places.get(feature.column, (j, j))[0], j + 1)
    return tuple(
        _column(i, name, table, columns, rows, places.get(i), features, rounded.get(i))
        for i, name in enumerate(table.columns)
    )


def refuse_unclear(columns: Sequence[Column]) -> None:
    """Refuse to leave out columns that look like numbers, or to encode them one-hot with more than 20 values.

    Raises DataError, unless the description or the file declares them.
    """
    unclear = [c for c in columns if is_unclear(c) and (c.features is None or (c.n_values or 0) > MAX_UNDECLARED)]
    if unclear:
        more = f"; and {len(unclear) - 5} more such columns" if len(unclear) > 5 else ""
        texts = "; ".join(f"{unclear_text(c)}, {_otherwise(c)}" for c in unclear[:5])
        raise DataError(f"{texts}{more}. {remedy(unclear[:5], columns)}")


def is_unclear(column: Column) -> bool:
    """Whether a column looks like numbers, is taken as a category, and nobody said what it is."""
    return column.looks_like == "numbers" and column.fate in ("category", "too many values")


def unclear_text(column: Column) -> str:
    """What is unclear about it."""
    if not column.n_words:
        return f"column {column.name!r} holds numbers as text"
    n = f"{column.n_words:,} values are no plain numbers" if column.n_words > 1 else "1 value is no plain number"
    return f"column {column.name!r} looks like numbers, but {n}: {shown(column.words)}"


def remedy(unclear: Sequence[Column], columns: Sequence[Column]) -> str:
    """The settings that make it clear."""
    listed = ", ".join(label(c, columns) for c in unclear)
    text = (
        f"Write into the description `numeric: [{listed}]` if what is no number is missing, `categorical: [{listed}]` "
        f"if the values are categories, or `drop: [{listed}]`"
    )
    if any(character.isdigit() for c in unclear for word, _ in c.words for character in word):
        text += "; numbers with units, signs or thousands separators have to be made plain in the file"
    return text


def label(column: Column, columns: Sequence[Column]) -> str:
    """The name as one would write it in a description; the position where several columns have the name."""
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

"""Report how the columns were used, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from data_prep.account import MAX_UNDECLARED, Column, is_unclear, label, remedy, unclear_text
from data_prep.features import MAX_ONE_HOT
from data_prep.words import short

_MOST_NAMED = 6


def columns_text(columns: Sequence[Column]) -> str:
    """Return a heading and one line per group of columns with the same fate."""
    numbers = _with_fate("number", columns)
    centred = [c for c in numbers if c.centre is not None]
    groups: list[tuple[str, str, list[Column], Callable[[Column], str]]] = [
        ("target", "targets", _with_fate("target", columns), _not_read),
        ("number", "numbers", [c for c in numbers if c.centre is None], _not_read),
        ("number, centred for float32", "numbers, centred for float32", centred, _subtracted),
        ("category", "categories", _with_fate("category", columns), _sizes),
        *(
            (f"left out, {why}", f"left out, {why}", _with_fate(fate, columns), _sizes)
            for fate, why in (
                ("constant", "constant on the kept rows"),
                ("too many values", "too many values"),
                ("drop", "by `drop`"),
                ("ignored", "not an input according to the source"),
            )
        ),
    ]
    lines = [
        f"  {len(group):>4,} {one if len(group) == 1 else many}: {_listed(group, columns, detail)}"
        for one, many, group, detail in groups
        if group
    ]
    return "\n".join([f"{len(columns):,} columns in the table", *lines])


def warnings_text(columns: Sequence[Column]) -> Iterator[str]:
    """Yield warnings for the user, one sentence each."""
    if unclear := [c for c in columns if is_unclear(c)][:_MOST_NAMED]:
        taken = "; ".join(f"{unclear_text(c)}; it is taken as a category of {c.n_values:,} values" for c in unclear)
        yield f"{taken}. {remedy(unclear, columns)}"
    if many := [c for c in columns if c.fate == "too many values" and not is_unclear(c)]:
        yield (
            f"left out, because at most {MAX_ONE_HOT} values are encoded in total, smallest columns first: "
            f"{_listed(many, columns, _examples)}. If they matter, store them as numbers or "
            "as fewer categories, otherwise add them to `drop`"
        )
    if dates := [c for c in columns if c.looks_like == "dates" and (c.n_values or 0) > MAX_UNDECLARED and c.features]:
        yield f"dates or times taken as categories: {_listed(dates, columns, _sizes)}. Store them as numbers, or `drop`"
    if same := [c for c in columns if c.alike]:
        pairs = _listed(same, columns, lambda c: " and ".join(map(repr, c.alike)))
        yield f"categories that differ only in case, blanks or how a number is written: {pairs}"
    if rounded := [c for c in columns if c.rounded]:
        yield (
            "whole numbers beyond 2^53, which are rounded: "
            f"{_listed(rounded, columns, _rounded)}. Identifiers belong in `drop` or `categorical`"
        )
    if lost := [c for c in columns if c.lost]:
        yield f"different values become equal in float32: {_listed(lost, columns, _lost)}"


def _with_fate(fate: str, columns: Sequence[Column]) -> list[Column]:
    return [c for c in columns if c.fate == fate]


def _listed(group: Sequence[Column], columns: Sequence[Column], detail: Callable[[Column], str]) -> str:
    named = [f"{label(c, columns)} ({text})" if (text := detail(c)) else label(c, columns) for c in group[:_MOST_NAMED]]
    return ", ".join(named) + (f" and {len(group) - _MOST_NAMED:,} more" if len(group) > _MOST_NAMED else "")


def _not_read(column: Column) -> str:
    return f"{column.n_words:,} values are not numbers and count as missing" if column.n_words else ""


def _subtracted(column: Column) -> str:
    return ", ".join(text for text in (f"less {column.centre!r}", _not_read(column)) if text)


def _sizes(column: Column) -> str:
    if column.n_values is None:
        return ""
    if column.features is None:
        return f"{column.n_values:,} values"
    return f"{column.n_values:,} values, {column.features[1] - column.features[0]:,} columns"


def _examples(column: Column) -> str:
    like = f", they look like {column.looks_like}" if column.looks_like else ""
    words = ", ".join(repr(short(word)) for word, _ in column.words)
    return f"{column.n_values:,} values{f' such as {words}' if words else ''}{like}"


def _rounded(column: Column) -> str:
    written, read = column.rounded or ("", 0.0)
    return f"{written} becomes {read:.0f}"


def _lost(column: Column) -> str:
    before, after = column.lost or (0, 0)
    return f"{before:,} become {after:,}"

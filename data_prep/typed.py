"""Type checks of dataclasses that are filled from files written by people."""

from __future__ import annotations

import math
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from data_prep.errors import DataError

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null", dict: "a map"}


def check_fields(owner: Any) -> None:
    """Raise DataError, naming the key and the value, unless every field of a dataclass has its annotated type."""
    hints = get_type_hints(type(owner))
    for field in fields(owner):
        value, kind = getattr(owner, field.name), hints[field.name]
        if not _is(value, kind):
            raise DataError(f"{field.name}={_short(value)}: must be {_in_words(kind)}")


def _is(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_is(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else parts
        return len(value) == len(kinds) and all(map(_is, value, kinds))
    if origin is dict:
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is str:
        return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _in_words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, parts))
    if origin is tuple:
        return f"a list in which every item is {_in_words(parts[0])}"
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    return _WORDS.get(origin or kind, getattr(kind, "__name__", "something else"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"

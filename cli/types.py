"""Type checks of dataclasses that were filled from a configuration."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", NoneType: "null"}


def check_fields(thing: object, where: str) -> None:
    """Raise TypeError, naming the field, unless all fields of a dataclass have their annotated types.

    Nested dataclasses are checked too. An int passes as a float; a bool passes as neither. Annotations other than
    those of plain data are ignored, and anything but a dataclass instance passes.

    where: the key of the dataclass in the configuration, for the message.
    """
    if not is_dataclass(thing) or isinstance(thing, type):
        return
    hints = get_type_hints(type(thing))
    for field in fields(thing):
        value, key = getattr(thing, field.name), f"{where}.{field.name}"
        if not _fits(value, hints[field.name]):
            raise TypeError(f"{key} must be {_in_words(hints[field.name])}, got {value!r}")
        check_fields(value, key)


def _fits(value: object, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple and inner[1:] == (...,):
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str, NoneType) or is_dataclass(hint) else True


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, inner))
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        return f"a list in which every item is {_in_words(inner[0])}"
    return _WORDS.get(hint, f"a {getattr(hint, '__name__', hint)}")

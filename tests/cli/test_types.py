"""Fields of dataclasses against their annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from cli.types import check_fields


@dataclass(frozen=True)
class Inner:
    n: int = 1


@dataclass(frozen=True)
class Outer:
    x: float = 1
    flag: bool = True
    names: tuple[int | str, ...] = ("a", 0)
    kind: Literal["a", "b"] = "a"
    inner: Inner | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Outer(x="1"), "o.x must be a number, got '1'"),
        (Outer(x=True), "o.x must be a number, got True"),
        (Outer(flag=1), "o.flag must be true or false, got 1"),
        (
            Outer(names=("a", 1.5)),
            r"o.names must be a list in which every item is a whole number or a string, got \('a', 1.5\)",
        ),
        (Outer(names="a"), "o.names must be a list"),
        (Outer(kind="c"), "o.kind must be a or b, got 'c'"),
        (Outer(inner=1), "o.inner must be a Inner or null, got 1"),
        (Outer(inner=Inner(1.0)), "o.inner.n must be a whole number, got 1.0"),
    ],
)
def test_refused(thing: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_fields(thing, "o")


@pytest.mark.parametrize("thing", [Outer(), Outer(1.5, False, (), "b", Inner(), object()), Outer, 5, None])
def test_taken(thing: object) -> None:
    check_fields(thing, "o")

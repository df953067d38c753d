"""Components of a method and their names.

A component is a frozen dataclass with `tokens`: templates such as "rp-{n_features}" that convert its fields to its name
and its name to its fields. Registered components can be used in method names.
"""

from __future__ import annotations

import re
import string
from typing import Any, ClassVar, Self, get_type_hints

from bmdal.errors import BmdalError, UnknownComponentError, unknown

_PATTERNS: dict[type, str] = {int: r"\d+", float: r"[0-9.]+(?:e-?\d+)?", str: r"[^\[\]]+"}
_REGISTRY: list[type[Component]] = []


class Component:
    """A base kernel, transformation or selection method.

    Attributes:
        kind: what the component is, for messages.
        tokens: name templates whose {fields} are fields of the dataclass; the name follows the first template whose
            fields are all set.
    """

    kind: ClassVar[str]
    tokens: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """The component's token in method names. Raises BmdalError if no template has all its fields set."""
        for template in self.tokens:
            values = {field: getattr(self, field) for field in _fields(template)}
            if None not in values.values():
                return template.format(**values)
        raise BmdalError(f"{self} has no name: set the fields of one of {', '.join(self.tokens)}")

    @classmethod
    def parse(cls, token: str) -> Self | None:
        """The component of this class that `token` names, or None if there is none."""
        types = get_type_hints(cls)
        for template in cls.tokens:
            fields = {field: _plain_type(types[field]) for field in _fields(template)}
            pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
            for field, plain in fields.items():
                pattern = pattern.replace("{" + field + "}", f"(?P<{field}>{_PATTERNS[plain]})")
            if match := re.fullmatch(pattern, token):
                return cls(**{field: plain(match[field]) for field, plain in fields.items()})
        return None


def register(component: type[Component]) -> type[Component]:
    """Make a component class usable in method names. Use it as a class decorator.

    Raises BmdalError if the class is not a frozen dataclass with tokens, or if a token is taken or has an underscore.
    """
    parameters = getattr(component, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or not getattr(component, "tokens", ()):
        raise BmdalError(f"{component.__name__} must be a frozen dataclass with the class attribute `tokens`")
    taken = {t: c for c in _REGISTRY if c.kind == component.kind for t in c.tokens}
    for token in component.tokens:
        owner = taken.get(token, component)
        if _path(owner) != _path(component):
            raise BmdalError(f"{component.kind} token {token!r} is taken by {owner.__qualname__}; choose another")
        if "_" in re.sub(r"\[.*?\]", "", token.replace("{", "[").replace("}", "]")):
            raise BmdalError(f"token {token!r}: an underscore separates the tokens of a method name; use a hyphen")
    _REGISTRY[:] = [c for c in _REGISTRY if (c.kind, *_path(c)) != (component.kind, *_path(component))]
    _REGISTRY.append(component)
    return component


def tokens(kind: str) -> list[str]:
    """The name templates of all registered components of a kind."""
    return [token for c in _REGISTRY if c.kind == kind for token in c.tokens]


def names(kind: str, token: str) -> bool:
    """Whether a token is the name of a component of a kind."""
    return any(c.kind == kind and c.parse(token) is not None for c in _REGISTRY)


def parse(kind: str, token: str, method_name: str) -> Any:
    """The component of a kind that `token` names. Raises UnknownComponentError, with the valid tokens, if none does."""
    for component in _REGISTRY:
        if component.kind == kind and (parsed := component.parse(token)) is not None:
            return parsed
    raise UnknownComponentError(f"method {method_name!r}: {unknown(kind, token, tokens(kind))}")


def _path(component: type[Component]) -> tuple[str, str]:
    return component.__module__, component.__qualname__


def _fields(template: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(template) if field]


def _plain_type(annotation: Any) -> type:
    """int for `int` and `int | None`."""
    arguments = [a for a in getattr(annotation, "__args__", (annotation,)) if a is not type(None)]
    return arguments[0] if arguments[0] in _PATTERNS else str

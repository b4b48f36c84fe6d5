"""Whether what a component declares is known to the contract: a misspelt attribute would do nothing, in silence."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from swift_core.contract.components import BASES, Component

_MARKED_AS_ONES_OWN = ("ClassVar", "typing.ClassVar", "t.ClassVar")


@functools.cache
def attributes(base: type) -> dict[str, Any]:
    """Name → type, of what the components of `base` may declare."""
    hints = get_type_hints(base)
    return {name: _plain(hint) for name, hint in hints.items() if not name.startswith("_")}


def strange_attributes(component: Any, kind: str) -> list[str]:
    """One line for each attribute that the contract does not know, or that has a value of a wrong type.

    A constant of the author's own is annotated as `ClassVar`. A property is the author's own, unless its name is close
    to one that the contract knows. Names that begin with `_` are nobody's concern.
    """
    base = BASES.get(kind)
    owner = component if isinstance(component, type) else type(component)
    if base is None:
        return []
    known = attributes(base) | attributes(Component)
    values = {n: v for n, v in _set_by(owner, base).items() if n not in known}
    own = _own_constants(owner) | {n for n, v in values.items() if isinstance(v, property)}
    lines = [_unknown(name, kind, known, own) for name in values]
    return [line for line in lines if line] + list(_wrong_values(component, known))


def _set_by(owner: type, base: type) -> dict[str, Any]:
    """Name → plain value or property, of the class and its bases, those of the contract left out."""
    ours = {*base.__mro__, *Component.__mro__}
    fields = {f.name for f in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
    values = {n: v for c in reversed(owner.__mro__) if c not in ours for n, v in vars(c).items()}
    return {n: v for n, v in values.items() if not n.startswith("_") and n not in fields and _is_value(v)}


def _is_value(value: Any) -> bool:
    return isinstance(value, property) or not (callable(value) or hasattr(value, "__get__"))


def _own_constants(owner: type) -> set[str]:
    """Names annotated as `ClassVar` by the class or one of its bases."""
    return {
        name
        for c in owner.__mro__
        for name, hint in vars(c).get("__annotations__", {}).items()
        if get_origin(hint) is ClassVar or hint is ClassVar or str(hint).startswith(_MARKED_AS_ONES_OWN)
    }


def _unknown(name: str, kind: str, known: dict[str, Any], own: set[str]) -> str:
    """What is wrong with an attribute that the kind does not know; "" where it is a constant of the author's own."""
    if name.endswith("_api"):
        return ""
    meant = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    elsewhere = [k for k, base in BASES.items() if k not in (kind, "model") and name in attributes(base)]
    if name in own and not meant:
        return ""
    said = f"sets {name!r}, which a {kind} does not declare."
    if meant:
        return f"{said} Did you mean {meant[0]!r}?"
    if elsewhere:
        return f"{said} It belongs to the kind {' or '.join(elsewhere)}."
    return (
        f"{said} Nothing reads it. An option needs a type, `{name}: int = …`; a constant of your own "
        f"is annotated, `{name}: ClassVar[int] = …`."
    )


def _wrong_values(component: Any, known: dict[str, Any]) -> Iterator[str]:
    for name, hint in known.items():
        value = inspect.getattr_static(component, name, None)
        if value is None or hasattr(value, "__get__"):
            continue
        wanted = _classes(hint)
        if wanted and not isinstance(value, wanted):
            names = " or ".join(w.__name__ for w in wanted)
            yield f"sets {name!r} to {value!r}, which is no {names}."


def _plain(hint: Any) -> Any:
    """The type inside `ClassVar[…]`."""
    return get_args(hint)[0] if get_origin(hint) is ClassVar else hint


def _classes(hint: Any) -> tuple[type, ...]:
    """The classes that a value may be of; empty where the type does not say."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(c for part in get_args(hint) for c in _classes(part) if c is not type(None))
    origin = get_origin(hint) or hint
    return (origin,) if isinstance(origin, type) else ()

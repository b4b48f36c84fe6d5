"""Options as typed fields of a form: what a browser shows, and how what it sends back becomes a value."""

from __future__ import annotations

import json
import re
import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from swift_core import SwiftError
from swift_core.job.options import OptionInfo, describe_options

Sort = Literal["choice", "switch", "integer", "number", "text", "lines", "list", "json", "secret"]
"""What a field looks like. lines: a text of several lines; list: several values, of `choices` or free."""

LONG = ("system", "prompt")
"""How the names of options end whose texts deserve several lines."""


@dataclass(frozen=True)
class Field:
    """One option in a form.

    key: what stands behind `--`. owner: `swift sft`, or kind and name of the component. choices: what may be chosen;
    `free`: other values, too. empty: whether it may be left without a value.
    """

    key: str
    owner: str
    sort: Sort
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    free: bool = False
    empty: bool = False
    items: type = str
    kind: str | None = None
    required: bool = False

    @property
    def name(self) -> str:
        """The option's own name, without a namespace."""
        return self.key.rpartition(".")[2]

    def matches(self, text: str, told: str = "") -> bool:
        """Whether all words of a search are in its name, its help, its owner, or in the help as it is `told`."""
        place = f"{self.key} {self.help} {told} {self.owner}".lower().replace("_", " ")
        return all(word in place for word in text.lower().replace("_", " ").replace("--", "").split())

    def read(self, raw: Any) -> Any:
        """The value of what a form holds. Raises SwiftError for a number that is none, or JSON that is broken."""
        if raw is None or (raw == "" and (self.empty or self.sort not in ("text", "lines", "secret"))):
            return None if self.sort not in ("list", "json") else type(self.default or [])()
        return _READERS[self.sort](self, raw)

    def is_changed(self, value: Any) -> bool:
        """Whether a value is another than the default."""
        return bool(value != self.default)


def _choice(field: Field, raw: Any) -> Any:
    known = {str(choice): choice for choice in field.choices}
    if str(raw) not in known and not field.free:
        raise SwiftError(f"--{field.key} cannot be {str(raw)[:60]!r}: choose {', '.join(known)}.")
    return known.get(str(raw), raw)


def _switch(field: Field, raw: Any) -> bool:
    return raw if isinstance(raw, bool) else str(raw).strip().lower() in ("true", "yes", "on", "1")


def _integer(field: Field, raw: Any) -> Any:
    return _number_of(field, raw, int)


def _number(field: Field, raw: Any) -> Any:
    return _number_of(field, raw, float)


def _number_of(field: Field, raw: Any, wanted: type) -> Any:
    text = str(raw).strip().replace("_", "")
    try:
        value = float(text)
        if wanted is float:
            return value
        if re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    what = "a whole number" if wanted is int else "a number"
    raise SwiftError(f"--{field.key} must be {what}, and {str(raw)[:60]!r} is none.")


def _text(field: Field, raw: Any) -> str:
    return str(raw)


def _list(field: Field, raw: Any) -> list[Any]:
    items = raw if isinstance(raw, list) else _items(field, str(raw))
    if field.items is str:
        return [str(item) for item in items]
    return [_number_of(field, item, field.items) for item in items]


def _items(field: Field, text: str) -> list[Any]:
    """One item a line; or a JSON list."""
    if text.lstrip().startswith("["):
        value = _json_of(field, text)
        if isinstance(value, list):
            return value
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json(field: Field, raw: Any) -> Any:
    value = raw if isinstance(raw, dict) else _json_of(field, str(raw))
    if not isinstance(value, dict):
        raise SwiftError(f'--{field.key} must be a JSON object, like {{"name": "value"}}.')
    return value


def _json_of(field: Field, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SwiftError(f"--{field.key} is not valid JSON: {error}") from None


_READERS: dict[str, Any] = {
    "choice": _choice,
    "switch": _switch,
    "integer": _integer,
    "number": _number,
    "text": _text,
    "lines": _text,
    "list": _list,
    "json": _json,
    "secret": _text,
}


def fields_of_owner(owner: type, title: str, defaults: dict[str, Any], names: dict[str, list[str]]) -> list[Field]:
    """The options of a job or component as fields, in order of declaration.

    title: how the owner is called. defaults: values that differ from the class's own. names: kind → components that
    are installed.
    """
    hints = get_type_hints(owner)
    return [_field(info, hints.get(info.name, str), title, defaults, names) for info in describe_options(owner)]


def _field(info: OptionInfo, hint: Any, title: str, defaults: dict[str, Any], names: dict[str, list[str]]) -> Field:
    inner, empty = _without_none(hint)
    default = defaults.get(info.name, info.default)
    default = default.pattern if isinstance(default, re.Pattern) else default
    sort, choices, items = _sort_of(inner)
    free = bool(info.kind) or not choices
    if info.kind:
        choices = tuple(names.get(info.kind, ()))
        sort = "list" if sort == "list" else "choice"
    if sort == "text" and (info.name.endswith(LONG) or "\n" in str(default)):
        sort = "lines"
    return Field(
        info.name,
        title,
        "secret" if info.secret else sort,
        default,
        info.help,
        choices,
        free,
        empty,
        items,
        info.kind,
        info.required,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    """(the type without None, whether None was in it); of a union of several types, Any."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    parts = [part for part in get_args(hint) if part is not type(None)]
    return (parts[0] if len(parts) == 1 else Any), len(parts) < len(get_args(hint))


def _sort_of(hint: Any) -> tuple[Sort, tuple[Any, ...], type]:
    """(sort, choices, type of the items of a list)."""
    origin = get_origin(hint)
    if origin is Literal:
        return "choice", get_args(hint), str
    if origin is list or hint is list:
        inner = (get_args(hint) or (str,))[0]
        choices = get_args(inner) if get_origin(inner) is Literal else ()
        return "list", choices, inner if inner in (int, float) else str
    if origin is dict or hint is dict:
        return "json", (), str
    return _PLAIN.get(hint, "text"), (), str


_PLAIN: dict[Any, Sort] = {bool: "switch", int: "integer", float: "number"}

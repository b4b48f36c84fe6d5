"""Typed options: dataclass fields that become flags, YAML keys, JSON schema and form fields.

A job declares its options as a dataclass, and so does every component: **a component's fields are its
options**. `option()` is `dataclasses.field` with a docstring. Checking is pydantic's; every mistake in a
command line is found before any is reported.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core.contract.errors import SwiftError, SwiftErrors, did_you_mean

REQUIRED = dataclasses.MISSING


def option(
    default: Any = REQUIRED,
    help: str = "",
    *,
    aliases: tuple[str, ...] = (),
    kind: str | None = None,
    secret: bool = False,
    symbol: str | None = None,
    selects: tuple[str, str] | None = None,
    on_resume: Literal["said", "free", "fixed"] = "said",
    **constraints: Any,
) -> Any:
    """A dataclass field that is an option.

    default: its value when nobody sets it; left out, the option is required. Lists and dicts are copied.
    help: one sentence with unit and, where there is one, the symbol and source in the paper.
    aliases: other names under which users know it. kind: its value names components of this kind.
    secret: a key or password, which no lock, report or explanation may show.
    symbol: how the paper of a method writes it, which `help` repeats; an empty text says that it has no symbol there.
    selects: (kind, name) of the component that a job gets where the option is true: a short form of `--KIND NAME`.
    on_resume: what a resume does where the value is not the checkpoint's: says so; takes it without a word; or refuses,
    as the checkpoint holds what depends on it.
    constraints: pydantic's (`ge`, `gt`, `le`, `lt`, `min_length`, `pattern` …).
    """
    said = {"description": help, "aliases": aliases, "kind": kind, "secret": secret, "symbol": symbol}
    metadata = {**said, "selects": selects, "on_resume": on_resume, **constraints}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Given:
    """One value as the user wrote it. key: normalised to underscores. source: `command line` or a file."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class OptionInfo:
    """What the help, the docs and the forms need to know about one option."""

    name: str
    type: str
    default: Any
    required: bool
    help: str
    aliases: tuple[str, ...]
    kind: str | None
    secret: bool = False


def fields_of(owner: type) -> dict[str, dataclasses.Field[Any]]:
    """The option fields of a job's or component's class, by name, in order of declaration."""
    if not dataclasses.is_dataclass(owner):
        return {}
    return {f.name: f for f in dataclasses.fields(owner) if f.init}


def describe_options(owner: type) -> list[OptionInfo]:
    """Every option of `owner` for help and documentation."""
    return [_describe(f) for f in fields_of(owner).values()]


def _describe(f: dataclasses.Field[Any]) -> OptionInfo:
    default = f.default_factory() if f.default_factory is not REQUIRED else f.default
    return OptionInfo(
        name=f.name,
        type=f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type)),
        default=None if default is REQUIRED else default,
        required=default is REQUIRED,
        help=f.metadata.get("description", ""),
        aliases=tuple(f.metadata.get("aliases", ())),
        kind=f.metadata.get("kind"),
        secret=f.metadata.get("secret", False),
    )


def json_schema(owner: type) -> dict[str, Any]:
    """The JSON schema of an options class."""
    return _adapter(owner).json_schema()


@functools.cache
def _adapter(owner: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(owner)


def read_arguments(words: Iterable[str]) -> list[Given]:
    """`--key value`, `--key=value`, `--key a b c` and a bare `--flag` (true) as given values.

    Dashes and underscores in keys are alike. Several values become a list.
    Raises SwiftError for a value without an option before it.
    """
    pairs: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            key, equals, value = word[2:].partition("=")
            pairs.append((_normal(key), [value] if equals else []))
        elif pairs:
            pairs[-1][1].append(word)
        else:
            raise SwiftError(f"{word!r} is not an option. Options are written --name value.")
    return [Given(k, _one_or_many(v), "command line") for k, v in pairs]


def _one_or_many(values: list[str]) -> Any:
    if not values:
        return True
    return values[0] if len(values) == 1 else values


def _normal(key: str) -> str:
    return key.strip().replace("-", "_")


def read_config(path: str | Path) -> list[Given]:
    """A YAML or JSON job file as given values; nested maps become namespaced keys (`lora: {rank: 8}`).

    Raises SwiftError where the file is missing, is not valid YAML or holds no map.
    """
    import yaml

    file = Path(path)
    if not file.is_file():
        raise SwiftError(f"The job file {str(path)!r} does not exist.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SwiftError(f"The job file {str(path)!r} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SwiftError(f"The job file {str(path)!r} must be a map of option names to values.")
    return [Given(_normal(str(k)), v, str(path)) for k, v in content.items()]


def spread_namespaces(given: Iterable[Given], names: Iterable[str]) -> list[Given]:
    """Turn `lora: {rank: 8}` into `lora.rank: 8` where `lora` is the name of a chosen component."""
    known = set(names)
    out: list[Given] = []
    for g in given:
        if g.key in known and isinstance(g.value, dict):
            out += [Given(f"{g.key}.{_normal(k)}", v, g.source) for k, v in g.value.items()]
        else:
            out.append(g)
    return out


def build(owner: type, values: dict[str, Any], who: str) -> Any:
    """An instance of `owner` from raw values, checked and converted; a `SwiftErrors` names every bad one.

    who: how the owner is called in messages, for instance `swift sft` or `tuner lora`.
    """
    from pydantic import ValidationError

    if not dataclasses.is_dataclass(owner):
        return owner()  # a plain class has no options
    shaped = {name: _shape(fields_of(owner)[name], value) for name, value in values.items()}
    try:
        return _adapter(owner).validate_python(shaped)
    except ValidationError as error:
        raise SwiftErrors(_explain(e, who) for e in error.errors()) from None


def _explain(error: Any, who: str) -> str:
    name = ".".join(str(p) for p in error["loc"]) or "options"
    if error["type"] == "missing":
        return f"{who} needs --{name}."
    return f"--{name} {_short(error['input'])}: {error['msg']} ({who})."


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


def _shape(f: dataclasses.Field[Any], value: Any) -> Any:
    """Meet the field's container halfway: one value for a list, JSON text for a dict, `none` for None."""
    declared = f.type if isinstance(f.type, str) else str(f.type)
    if isinstance(value, str) and value.lower() in ("none", "null") and "None" in declared:
        return None
    if declared.startswith("list") and not isinstance(value, list):
        return _as_list(value)
    if declared.startswith("dict") and isinstance(value, str):
        return _as_dict(value, f.name)
    return value


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, str) and value.startswith("["):
        return json.loads(value)
    return [] if value is None else [value]


def _as_dict(value: str, name: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise SwiftError(f"--{name} must be a JSON object: {error}. You wrote {_short(value)}") from None


def match_field(owner: type, key: str, name: str = "") -> str | None:
    """The field of `owner` that `key` means: its own name, an alias, or, given `name`, `name_key`."""
    for field_name, f in fields_of(owner).items():
        if key in (field_name, *f.metadata.get("aliases", ())) or (name and f"{name}_{key}" == field_name):
            return field_name
    return None


def unknown(key: str, source: str, known: Iterable[str]) -> str:
    """The message for a key that no part of the job takes."""
    where = "" if source == "command line" else f" (in {source})"
    return f"There is no option --{key}{where}.{did_you_mean(key, known)}"

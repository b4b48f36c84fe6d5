"""Typed options: dataclass fields that become flags, YAML keys, JSON schema and form fields.

A job declares its options as a dataclass, and so does every component: **a component's fields are its
options**. `option()` is `dataclasses.field` with a docstring. Checking is pydantic's; every mistake in a
command line is found before any is reported.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core.contract.errors import SwiftError, SwiftErrors, attempt, did_you_mean
from swift_core.job.other_words import said_here

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
    file: str | None = None,
    same_as: str | None = None,
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
    file: a value that ends so (`.txt`) names a file, and the option is its text. same_as: the option whose value it has
    where nobody sets it.
    constraints: pydantic's (`ge`, `gt`, `le`, `lt`, `min_length`, `pattern` …).
    """
    said = {"description": help, "aliases": aliases, "kind": kind, "secret": secret, "symbol": symbol}
    further = {"selects": selects, "on_resume": on_resume, "file": file, "same_as": same_as}
    metadata = {**said, **further, **constraints}
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
    Raises SwiftErrors for values without an option before them.
    """
    given, mistakes = split_arguments(words)
    if mistakes:
        raise SwiftErrors(mistakes)
    return given


def split_arguments(words: Iterable[str]) -> tuple[list[Given], list[str]]:
    """(the given values, what is wrong with the words that stand before any option); see `read_arguments`."""
    pairs: list[tuple[str, list[str]]] = []
    mistakes = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            key, equals, value = word[2:].partition("=")
            pairs.append((_normal(key), [value] if equals else []))
        elif pairs:
            pairs[-1][1].append(word)
        else:
            mistakes.append(_stray(word))
    return [Given(k, _one_or_many(v), "command line") for k, v in pairs], mistakes


def _stray(word: str) -> str:
    file = f" A job file is read by --config {word}." if word.endswith((".yaml", ".yml", ".json")) else ""
    return f"{_short(word)!r} is not an option. Options are written --name value.{file}"


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
    name = f"The job file {_short(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SwiftError(f"{name} does not exist.") from None
    except UnicodeDecodeError as error:
        raise SwiftError(f"{name} is not valid YAML: {str(error)[:300]}") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        raise SwiftError(f"{name} cannot be read: {getattr(error, 'strerror', error)}.") from None
    return given_in(read_map(text, name), str(path))


def given_in(content: dict[str, Any], source: str) -> list[Given]:
    """The options that a job file's map holds, as given values. source: where they stand, for messages."""
    return [Given(_normal(str(k)), v, source) for k, v in content.items()]


def read_map(text: str, name: str) -> dict[str, Any]:
    """The map that a YAML text holds; a SwiftError begins with `name` where it is no YAML, no map or too large."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of 40 January is a ValueError
        raise SwiftError(f"{name} is not valid YAML: {str(error)[:300]}") from None
    if not isinstance(content, dict):
        raise SwiftError(f"{name} must be a map of option names to values.")
    if not _is_small(content):
        raise SwiftError(f"{name} holds more than {MOST_VALUES} values, or a value within itself.")
    return content


MOST_VALUES = 100_000
"""A job file with more values than this is refused: a few references to references make millions of a short file."""


def _is_small(content: Any) -> bool:
    left, count = [content], 0
    while left and count <= MOST_VALUES:
        value = left.pop()
        inner = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list | set) else ()
        count += 1 + len(inner)
        left += inner
    return count <= MOST_VALUES


def spread_namespaces(given: Iterable[Given], names: Iterable[str]) -> list[Given]:
    """Turn `lora: {rank: 8}` into `lora.rank: 8` where `lora` is the name of a chosen component."""
    known = set(names)
    out: list[Given] = []
    for g in given:
        if g.key in known and isinstance(g.value, dict):
            out += [Given(f"{g.key}.{_normal(str(k))}", v, g.source) for k, v in g.value.items()]
        else:
            out.append(g)
    return out


class WrongValues(SwiftErrors):
    """The values of an owner that are wrong, each with its reason. names: of these fields."""

    def __init__(self, mistakes: Iterable[str], names: Iterable[str]):
        super().__init__(mistakes)
        self.names = set(names)


def build(owner: type, values: dict[str, Any], who: str) -> Any:
    """An instance of `owner` from raw values, checked and converted; a `WrongValues` names every bad one.

    who: how the owner is called in messages, for instance `swift sft` or `tuner lora`.
    """
    from pydantic import ValidationError

    if not dataclasses.is_dataclass(owner):
        return owner()  # a plain class has no options
    shaped, mistakes, wrong = _shaped(owner, values, who)
    try:
        made = _adapter(owner).validate_python(shaped)
    except ValidationError as error:
        errors = [e for e in error.errors() if not set(e["loc"][:1]) & wrong]
        mistakes += [_explain(e, who) for e in errors]
        wrong |= {str(e["loc"][0]) for e in errors if e["loc"]}
    if mistakes:
        raise WrongValues(mistakes, wrong)
    return made


def _shaped(owner: type, values: dict[str, Any], who: str) -> tuple[dict[str, Any], list[str], set[str]]:
    """(the values in the shape of their fields, what is wrong with the others, the names of those)."""
    fields, shaped, mistakes, wrong = fields_of(owner), dict[str, Any](), list[str](), set[str]()
    for name, value in values.items():
        if name not in fields:  # from a lock file: what the user says is asked for by name
            mistakes.append(f"{who} has no option --{_short(name)} in this version; a lock file holds it.")
            wrong.add(name)
            continue
        before = len(mistakes)
        shaped[name] = attempt(mistakes, _shape, fields[name], value)
        wrong |= {name} if len(mistakes) > before else set()
    return {name: value for name, value in shaped.items() if name not in wrong}, mistakes, wrong


def build_most(owner: type, values: dict[str, Any], who: str, mistakes: list[str]) -> tuple[Any, set[str]]:
    """(an instance of `owner` from the values that are right, the names of the others); see `build`.

    The reasons go into `mistakes`. None where the rest does not make an instance.
    """
    try:
        return build(owner, values, who), set()
    except WrongValues as errors:
        mistakes += errors.mistakes
        wrong = errors.names & set(values)
    except SwiftError as error:  # two values do not go together
        mistakes.append(str(error))
        wrong = next(({name} for name in reversed(values) if _agrees(owner, _without(values, {name}), who)), set())
    if not wrong:
        return None, set()
    made, more = build_most(owner, _without(values, wrong), who, mistakes)
    return made, wrong | more


def read_files(owner: type, values: dict[str, Any], sources: dict[str, str], mistakes: list[str]) -> list[str]:
    """Put the text of its file where a value of an option with `file` names one; a line for the user about each.

    The source of such a value is then the file. What cannot be read is told in `mistakes`.
    """
    lines = []
    for name, f in fields_of(owner).items():
        value, suffix = values.get(name), f.metadata.get("file")
        if suffix and isinstance(value, str) and value.endswith(suffix) and "\n" not in value:
            text = attempt(mistakes, _text_of, name, value, suffix)
            if text is not None:
                values[name], sources[name] = text, value
                lines.append(f"--{name}: the text of {value} ({len(text)} characters)")
    return lines


def _text_of(name: str, path: str, suffix: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # no UTF-8 is a ValueError, and so is a name that no file can have
        why = getattr(error, "strerror", None) or str(error)[:200]
        raise SwiftError(
            f"--{name} {_short(path)} names a file, as it ends in {suffix}, and that cannot be read: {why}. Correct "
            "the path; a text that is to end so goes into a file."
        ) from None


def follow_others(options: Any, sources: dict[str, str]) -> None:
    """Give every option with `same_as` that nobody set the value of that one, and its source."""
    for name, f in fields_of(type(options)).items():
        other = f.metadata.get("same_as")
        if other and name not in sources:
            setattr(options, name, getattr(options, other))
            sources |= {name: f"--{other}"} if other in sources else {}


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _agrees(owner: type, values: dict[str, Any], who: str) -> bool:
    return attempt([], build, owner, values, who) is not None


def _explain(error: Any, who: str) -> str:
    name = ".".join(str(p) for p in error["loc"]) or "options"
    if error["type"] == "missing":
        return f"{who} needs --{name}."
    near = ""
    if error["type"] == "literal_error":
        near = did_you_mean(str(error["input"])[:60], re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    return f"--{_short(name)} {_short(error['input'])}: {error['msg']} ({who}).{near}"


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict = 3, 4, 4


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float | Path) else _BRIEF.repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _shape(f: dataclasses.Field[Any], value: Any) -> Any:
    """Meet the field's container halfway: one value for a list, JSON text for a dict, `none` for None."""
    if _is_unreadable(value):
        raise SwiftError(f"--{f.name} holds a character that no option takes: NUL, or bytes that are not UTF-8.")
    declared = f.type if isinstance(f.type, str) else str(f.type)
    if "float" in declared and _is_nan(value):
        raise SwiftError(f"--{f.name} {_short(value)} is not a number.")
    if isinstance(value, str) and value.lower() in ("none", "null") and "None" in declared:
        return None
    if isinstance(value, str) and value.isdecimal() and re.match(r"Literal\[[\d, ]+\]", declared):
        return int(value)
    if declared.startswith("list") and not isinstance(value, list):
        return _as_list(value, f.name)
    if declared.startswith("dict") and isinstance(value, str):
        return _as_dict(value, f.name)
    return value


def _is_unreadable(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return any("\x00" in text or re.search("[\ud800-\udfff]", text) for text in texts if isinstance(text, str))


def _is_nan(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return any(math.isnan(n) if isinstance(n, float) else _is_nan_text(n) for n in numbers)


def _is_nan_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip(" +-").lower() == "nan"


def _as_list(value: Any, name: str) -> Any:
    if isinstance(value, str) and value.startswith("["):
        return _as_json(value, name, "list")
    return [] if value is None else [value]


def _as_dict(value: str, name: str) -> Any:
    return _as_json(value, name, "object")


def _as_json(value: str, name: str, what: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        raise SwiftError(f"--{name} must be a JSON {what}: {error}. You wrote {_short(value)}") from None


def match_field(owner: type, key: str, name: str = "") -> str | None:
    """The field of `owner` that `key` means: its own name, an alias, or, given `name`, `name_key`."""
    for field_name, f in fields_of(owner).items():
        if key in (field_name, *f.metadata.get("aliases", ())) or (name and f"{name}_{key}" == field_name):
            return field_name
    return None


HANDED = "SWIFT_HANDED_OVER"
"""Variable in which a launcher's processes find the keys and passwords that were said, as JSON: no file holds them."""


def handed_over() -> list[Given]:
    """What `HANDED` holds."""
    said = json.loads(os.environ.get(HANDED, "{}"))
    return [Given(key, value, "the launcher") for key, value in said.items()]


def is_secret(owner: type, key: str, name: str = "") -> bool:
    """Whether `key` means a key or password among the options of `owner`; name: as in `match_field`."""
    found = match_field(owner, key, name)
    return found is not None and bool(fields_of(owner)[found].metadata.get("secret"))


def unknown(key: str, source: str, known: Iterable[str]) -> str:
    """The message for a key that no part of the job takes."""
    where = "" if source == "command line" else f" (in {source})"
    known = list(known)
    return f"There is no option --{_short(key)}{where}.{said_here(key, known) or did_you_mean(key[:60], known)}"

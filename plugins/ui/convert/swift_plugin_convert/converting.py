"""Every word of another program looked up in its table: what it becomes here, or why it becomes nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from swift_core.job.processes import VARIABLES
from swift_core.job.specs import JOBS
from swift_plugin_convert import datasets
from swift_plugin_convert.draft import Draft, Line, listed
from swift_plugin_convert.fitting import fit
from swift_plugin_convert.reading import Theirs
from swift_plugin_convert.tables import LAUNCHERS, PROGRAMS, Row, rows, rows_of

PLACES = ("VALUE", "ITEMS", "NOT", "TWICE(", "$")
"""What stands for a value in a row."""

KEEP_VARIABLE = "an environment variable: set it before swift, too"

OF_PROCESSORS = re.compile(
    r"(IMAGE|VIDEO|AUDIO|FPS|NFRAMES|FRAME|MAX_NUM|MIN_PIXELS|MAX_SLICE|SIZE_FACTOR|INPUT_SIZE|SAMPLING_RATE|MAX_RATIO|HD_NUM).*"
)
"""Variables that ms-swift and qwen-vl-utils read."""


def converted(theirs: Theirs) -> Draft:
    """The job that is theirs, in our words. Raises SwiftError for values that cannot be read at all."""
    draft = Draft(theirs.program, PROGRAMS[theirs.program], notes=theirs.notes)
    if theirs.trainer:
        draft.options["trainer"] = theirs.trainer
    values = dict(theirs.values)
    datasets.take(theirs.program, values, draft)
    for word, value in _in_order(theirs.program, values):
        _take(theirs.program, word, value, values, draft)
    for word, value in theirs.launched.items():
        _take(LAUNCHERS, word, value, theirs.launched, draft)
    for name, text in theirs.environment.items():
        _take_variable(name, text, draft)
    _take_defaults(theirs, values, draft)
    _choose_job(theirs, draft)
    fit(draft)
    return draft


def _in_order(program: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Words with values, maps that no row knows taken apart, in the order of the table."""
    last = len(rows(program))
    places = {word: found[0].place for word, _ in _flat(program, values) if (found := rows_of(program, word))}
    return sorted(_flat(program, values), key=lambda item: places.get(item[0], last))


def _flat(program: str, values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Words with values; a map is taken apart where the table has rows for what is in it, as `trl.beta`."""
    for key, value in values.items():
        word = f"{before}{key}"
        if isinstance(value, dict) and not rows_of(program, word) and any(_inside(program, word)):
            yield from _flat(program, value, f"{word}.")
        else:
            yield word, value


def _inside(program: str, word: str) -> Iterator[Row]:
    return (row for row in rows(program) if row.word.startswith(f"{word}."))


def _take(program: str, word: str, value: Any, values: dict[str, Any], draft: Draft) -> None:
    """Look a word up; where no row fits it may be an option of the same name, which `fit` finds out."""
    known = rows_of(program, word)
    row, match = next(((row, match) for row in known if (match := row.fits(_text(value)))), (None, None))
    if value is None:
        draft.add(Line(word, value, "needless", why="no value"), [])
    elif row is None or match is None:
        draft.add(Line(word, value, "taken"), [(word, value)])
    elif row.said in ("=", "-"):
        draft.add(Line(word, value, "needless" if row.said == "=" else "lost", why=row.why), [])
    else:
        said = options_of(row, value, match, values)
        draft.add(Line(word, value, "taken" if said else "needless", why=row.why), said)


def _text(value: Any) -> str:
    """A value as the tables' expressions see it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def options_of(row: Row, value: Any, match: re.Match[str] | None, values: dict[str, Any]) -> list[tuple[str, Any]]:
    """A row's options with their values; nothing where it holds for true and the value is not.

    match: of the row's expression with the value. values: all words of the file, for `TWICE(word)`.
    """
    parts = [part for part in re.split(r"(?:^|\s)--", row.said) if part]
    pairs = [(words[0], words[1:]) for words in map(shlex.split, parts)]
    open_ended = any(not words or any(p in word for p in PLACES for word in words) for _, words in pairs)
    if not open_ended and not row.is_default and row.value == "*" and value in (False, "false", 0):
        return []
    return [(name, _filled_all(words, value, match, values)) for name, words in pairs]


def _filled_all(words: list[str], value: Any, match: re.Match[str] | None, values: dict[str, Any]) -> Any:
    filled = [_filled(word, value, match, values) for word in words or ["VALUE"]]
    return filled[0] if len(filled) == 1 else filled


def _filled(word: str, value: Any, match: re.Match[str] | None, values: dict[str, Any]) -> Any:
    """One value of a row: places filled in, else as YAML holds it."""
    if word == "VALUE":
        return value
    if word == "ITEMS":
        return listed(value)
    if word == "NOT":
        return value in (False, "false")
    if doubled := re.fullmatch(r"TWICE\((\w+),(\d+)\)", word):
        return 2 * int(str(values.get(doubled[1], doubled[2])))
    if word.startswith("{"):
        return json.loads(word.replace("VALUE", json.dumps(value)))
    return _literal(word.replace("$1", match[1]) if match and "$1" in word else word)


def _literal(word: str) -> Any:
    """A number, true, false, or the word itself: YAML's `no` is a value of options here."""
    return word if word.lower() in ("no", "yes", "on", "off") else yaml.safe_load(word)


def _take_variable(name: str, text: str, draft: Draft) -> None:
    if name in VARIABLES:
        number = int(text) if text.isdecimal() else text
        draft.add(Line(name, text, "taken"), [("launcher", "torchrun"), (VARIABLES[name], number)])
    elif name == "MAX_PIXELS":
        draft.add(Line(name, text, "taken"), [("max_pixels", int(text))])
    elif name == "FORCE_TORCHRUN":
        draft.add(Line(name, text, "taken", why="one process for each GPU"), [("launcher", "torchrun")])
    elif name == "USE_HF" or (name == "USE_MODELSCOPE_HUB" and draft.table != "ms-swift"):
        draft.add(Line(name, text, "taken"), [("use_hf", (text != "0") == (name == "USE_HF"))])
    elif OF_PROCESSORS.fullmatch(name):
        draft.add(Line(name, text, "lost", why="not read here: the model's own processor decides"), [])
    else:
        draft.add(Line(name, text, "lost", why=KEEP_VARIABLE), [])


def _take_defaults(theirs: Theirs, values: dict[str, Any], draft: Draft) -> None:
    """Their defaults where they differ from ours, and neither the file nor another row says anything else."""
    trainer = draft.options.get("trainer", "sft")
    for row in rows(theirs.program):
        if row.is_default and row.word not in values and row.holds_for(theirs.job, trainer):
            free = [pair for pair in options_of(row, None, None, values) if draft.is_free(pair[0])]
            draft.add(Line(row.word, None, "default", why=row.why), free)


def _choose_job(theirs: Theirs, draft: Draft) -> None:
    """The job, from the command or the training method; what the job says by itself is not said again."""
    trainer = draft.options.get("trainer", "sft")
    draft.job = theirs.job or (trainer if trainer in ("pt", "sft") else "rlhf")
    if JOBS[draft.job].defaults.get("trainer") == trainer:
        draft.options.pop("trainer", None)

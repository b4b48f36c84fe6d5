"""A converted job as a job file with comments, and what is said about it at the end."""

from __future__ import annotations

import json
from typing import Any

import yaml

from swift_plugin_convert.draft import Draft, Line


def text_of(draft: Draft, file: str, output: str) -> str:
    """The job file. file: what it was made from; output: what it is called, both for the comment at its head."""
    lines = [f"# swift {draft.job} --config {output}", f"# Made from {file} ({draft.program}) by swift convert-config."]
    first = {name for line in draft.of("taken") for name in line.options}
    said = [name for name in draft.options if name in first or _own(name, draft)]
    lines += [_option(name, draft.options[name], draft) for name in said]
    defaults = [name for name in draft.options if name not in said]
    if defaults:
        lines += ["", f"# Defaults of {draft.program} that are others here."]
        lines += [_option(name, draft.options[name], draft) for name in defaults]
    lines += _section("Needs no word here.", draft.of("needless"))
    lines += _section("Another word of the file says it otherwise.", draft.of("replaced"))
    lines += _section("Has no equal here.", draft.of("lost"))
    lines += [f"# {note}" for note in draft.notes]
    return "\n".join(lines) + "\n"


def _own(name: str, draft: Draft) -> bool:
    """Whether an option comes from the command itself, not from a word of it."""
    return not any(name in line.options for line in draft.lines)


def _option(name: str, value: Any, draft: Draft) -> str:
    """One line of the job file; behind it the words that it comes from, where they are others, and remarks."""
    lines = [line for line in draft.lines if name in line.options]
    words = [line.word for line in lines if line.word != name and line.what == "taken"]
    said = [", ".join(dict.fromkeys(words)), *(line.why for line in lines if line.why)]
    comment = "; ".join(part for part in dict.fromkeys(said) if part)
    return f"{name}: {_yaml(value)}" + (f"  # {comment}" if comment else "")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _section(title: str, lines: list[Line]) -> list[str]:
    if not lines:
        return []
    return ["", f"# {title}", *(f"#   {_said(line)}" for line in lines)]


def _said(line: Line) -> str:
    value = json.dumps(line.value, ensure_ascii=False, default=str)
    return f"{line.word}: {value}" + (f"  ({line.why})" if line.why else "")


def summary(draft: Draft, output: str) -> list[str]:
    """The counts, what is lost by name, and what to do next."""
    counts = {name: len(draft.of(name)) for name in ("taken", "needless", "replaced", "lost", "default")}
    lines = [
        f"{draft.program}: {counts['taken']} words taken, {counts['needless']} need no word here, "
        f"{counts['replaced']} are said otherwise by another word, {counts['lost']} have no equal here, "
        f"{counts['default']} defaults written out."
    ]
    lines += draft.notes
    if draft.of("replaced"):
        lines.append(f"said otherwise: {', '.join(line.word for line in draft.of('replaced'))}")
    if draft.of("lost"):
        lines.append(f"no equal: {', '.join(line.word for line in draft.of('lost'))}")
    lines += [f"not checked: {text}" for text in dict.fromkeys(draft.unsure)]
    return [*lines, f"Check it: swift explain {draft.job} --config {output}"]

"""How lists, components and the root help are laid out. The quickest commands import this: it imports little."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ABOUT = "Fine-tune, align, evaluate, quantize and serve language and multimodal models."

OPTIONS = [["--version", "Show the version and exit."], ["--help", "Show this message and exit."]]


def root_help(commands: list[list[str]]) -> str:
    """What `swift --help` prints; `commands`: name and one-line help of each."""
    parts = [["Usage: swift [OPTIONS] COMMAND [ARGS]...", "", *_folded(ABOUT, 2), ""]]
    for title, pairs in (("Options:", OPTIONS), ("Commands:", commands)):
        parts.append([title, *(line for name, text in pairs for line in _described(name, text, commands)), ""])
    return "\n".join(line for part in parts for line in part).rstrip()


def _described(name: str, text: str, commands: list[list[str]]) -> list[str]:
    """A name, and its text beside it in as many lines as it takes."""
    margin = max(len(n) for n, _ in (*OPTIONS, *commands)) + 4
    first, *more = _folded(text, margin) or [""]
    return [f"  {name}".ljust(margin) + first.lstrip(), *more]


def _folded(text: str, margin: int) -> list[str]:
    """Words in lines as wide as the terminal, each after a margin (textwrap costs as much as all the rest here)."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= max(columns(), margin + 20):
            lines[-1] += f" {word}"
        else:
            lines.append(" " * margin + word)
    return lines


def help_key(job: str) -> str:
    """What the help of a job is remembered as: its lines are as wide as the terminal."""
    return f"help-{job}-{columns()}"


def columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return int(said)
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


def table(rows: list[dict[str, Any]]) -> str:
    """Components in columns as wide as their widest cell; what models read and their level where there are models.

    A list of data sets alone says what each is for, what its rows hold and in which language; one of recipes alone the
    job, what it is for and the model.
    """
    kinds = {row["kind"] for row in rows}
    models, data = any("level" in row for row in rows), kinds and all("language" in row for row in rows)
    more = ["level", "reads"] if models else ["task", "reads", "language"] if data else []
    more = ["job", "task", "model"] if kinds == {"recipe"} else more
    names = ["kind", "name", *more, "package", "version", "summary"]
    return "\n".join([*_columns(rows, names), f"{len(rows)} components of {len({r['kind'] for r in rows})} kinds"])


def benchmarks(rows: list[dict[str, Any]]) -> str:
    """Benchmarks in columns, with who measures them."""
    text = _columns(rows, ["name", "modality", "evaluator", "title"])
    return "\n".join([*text, f"{len(rows)} benchmarks of {len({r['evaluator'] for r in rows})} evaluators"])


def _columns(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """A header and the rows, each column as wide as its widest cell."""
    lines = [[n.upper() for n in names], *([_cell(row, n) for n in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([cell.ljust(w) for cell, w in zip(line, widths, strict=True)]).rstrip() for line in lines]


def _cell(row: dict[str, Any], name: str) -> str:
    if name in ("reads", "language"):
        return " ".join(row.get("modality" if name == "reads" else name, ()))
    if name == "summary":
        return str(row.get("fault") or row["summary"])
    return str(row.get(name, ""))


def fact_lines(facts: dict[str, Any]) -> list[str]:
    """One component, as `swift show` prints it."""
    return [line for key, value in facts.items() for line in _fact_lines(key, value)]


def _fact_lines(key: str, value: Any) -> list[str]:
    if key == "options":
        return ["options:", *map(_option_line, value)]
    if key == "checkpoints":
        return [f"checkpoints: {len(value)}", *map(_checkpoint_line, value)]
    if isinstance(value, dict):
        said = {name: item for name, item in value.items() if item not in ("", [], {})}
        return [f"{key}:" if said else f"{key}: none", *(line for n, v in said.items() for line in _nested(n, v, "  "))]
    return [f"{key}: {_short(value)}"]


def _nested(name: str, value: Any, margin: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{margin}{name}: {_short(value)}"]
    return [f"{margin}{name}:", *(line for n, v in value.items() for line in _nested(n, v, margin + "  "))]


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _option_line(o: dict[str, Any]) -> str:
    default = "required" if o["required"] else f"default {o['default']!r}"
    return f"  --{o['name']} ({o['type']}, {default})  {o['help']}"


def _checkpoint_line(p: dict[str, str]) -> str:
    return f"  {p['modelscope'] or '-'}  {p['huggingface'] or '-'}  ({p['template']})"

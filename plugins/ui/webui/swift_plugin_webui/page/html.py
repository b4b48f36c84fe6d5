"""Small pieces of HTML. Everything that comes from rows, logs or plugins is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from swift_core.contract.recipes import Recipe
from swift_core.templates.shown import text_of
from swift_plugin_webui.jobs.store import Job
from swift_plugin_webui.page.texts import Texts

BETTER, WORSE = "22, 163, 74", "234, 88, 12"
"""Colours of what is trained, and of what a method trains away from."""


def links(job: Job, names: Iterable[str]) -> str:
    """Links to what a job offers for download."""
    items = [
        f'<a class="swift-file" href="/download/{quote(job.name)}/{quote(name)}" download>{escape(name)}</a>'
        for name in names
    ]
    return f'<div class="swift-files">{" ".join(items)}</div>' if items else ""


def folder_html(job: Job, files: dict[str, int]) -> str:
    """A folder's files with their sizes, each a link to it."""
    rows = "".join(
        f'<tr><td><a href="/download/{quote(job.name)}/{quote(name)}" download>{escape(name)}</a></td>'
        f"<td>{size_text(size)}</td></tr>"
        for name, size in files.items()
    )
    return f'<div class="swift-folder"><table>{rows}</table></div>' if rows else ""


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def row_html(number: int, row: dict[str, Any], t: Texts) -> str:
    """One row: where it stands, its messages or its tokens coloured by their weight in the loss, what it has beside."""
    label = "" if row.get("label") is None else f" · {t('label')}: {escape(_short(row['label']))}"
    head = f'<div class="swift-where">{number} · {escape(str(row["where"]))}{label}</div>'
    body = _tokens(row["tokens"]) if row.get("tokens") else "".join(map(_message, row["messages"]))
    return f'<div class="swift-row">{head}{_media(row)}{body}{_worse(row, t)}{_beside(row, t)}</div>'


def _media(row: dict[str, Any]) -> str:
    shown = "".join(map(_medium, row.get("media", [])))
    return f'<div class="swift-media">{shown}</div>' if shown else ""


def _medium(medium: dict[str, str]) -> str:
    name = escape(" ".join(filter(None, [medium["sort"], medium["name"]])))
    if "fault" in medium:
        return f'<span class="swift-fault">{name}: {escape(medium["fault"])}</span>'
    return f'<img src="{escape(medium["picture"])}" alt="{name}">' if "picture" in medium else f"<span>{name}</span>"


def _worse(row: dict[str, Any], t: Texts) -> str:
    """The worse answer of a pair: as it is trained away from, or as messages where the method does not look at it."""
    if not row.get("rejected"):
        return ""
    body = _tokens(row["worse"], WORSE) if row.get("worse") else "".join(map(_message, row["rejected"]))
    return f'<div class="swift-worse"><b>{t("rejected")}</b>{body}</div>'


def _beside(row: dict[str, Any], t: Texts) -> str:
    """Tools and other columns, folded."""
    parts = {t("Tools"): row.get("tools"), t("Other columns"): row.get("beside")}
    return "".join(_folded_part(name, value) for name, value in parts.items() if value)


def _folded_part(name: str, value: Any) -> str:
    text = escape(json.dumps(value, ensure_ascii=False, indent=1))
    return f"<details><summary>{escape(name)}</summary><pre>{text}</pre></details>"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _message(message: dict[str, Any]) -> str:
    role = escape(str(message.get("role")))
    marks = "".join(f" · {name}: {message[name]}" for name in ("loss", "loss_scale") if message.get(name) is not None)
    return (
        f'<div class="swift-turn swift-{role}"><b>{role}</b>{escape(marks)}<pre>{escape(text_of(message))}</pre></div>'
    )


REPEATED = re.compile(r"(<[^<>\s]{1,40}>)(?:\1){7,}")
"""A token that stands many times in a row, as a picture's does."""


def _tokens(pieces: list[list[Any]], colour: str = BETTER) -> str:
    """Untrained text is grey; trained text is green, the heavier the stronger; that of a worse answer is orange."""
    return f"<pre>{''.join(_piece(_folded(str(text)), float(weight), colour) for text, weight in pieces)}</pre>"


def _folded(text: str) -> str:
    return REPEATED.sub(lambda found: f"{found[1]}×{len(found[0]) // len(found[1])}", text)


def _piece(text: str, weight: float, colour: str) -> str:
    if weight <= 0:
        return f'<span class="swift-untrained">{escape(text)}</span>'
    strength = min(0.75, 0.2 + 0.2 * weight)
    style = f"background: rgba({colour}, {strength:.2f})"
    return f'<mark title="weight {weight:g}" style="{style}">{escape(text)}</mark>'


def facts_html(facts: dict[str, Any]) -> str:
    """What `swift show model` says, as a page: facts, capabilities, proof, checkpoints."""
    head = f"<h3>{escape(str(facts['name']))}</h3><p>{escape(str(facts.get('summary', '')))}</p>"
    tables = [_table(key, value) for key, value in facts.items() if key not in ("name", "summary", "kind")]
    return f'<div class="swift-facts">{head}{"".join(tables)}</div>'


def _table(title: str, value: Any) -> str:
    if value in ("", [], {}, None):
        return ""
    if isinstance(value, dict):
        rows = "".join(_line(name, item) for name, item in value.items() if item not in ("", [], {}, None))
        return f"<h4>{escape(title)}</h4><table>{rows}</table>" if rows else ""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        names = list(value[0])
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(f"<tr>{''.join(f'<td>{_text(row.get(n))}</td>' for n in names)}</tr>" for row in value)
        return f"<h4>{escape(title)}: {len(value)}</h4><table><tr>{head}</tr>{rows}</table>"
    return f"<table>{_line(title, value)}</table>"


def _line(name: str, value: Any) -> str:
    return f"<tr><th>{escape(str(name))}</th><td>{_text(value)}</td></tr>"


def _text(value: Any) -> str:
    return escape(_words(value))


def _words(value: Any) -> str:
    """A value in words; what lies within another one stands in brackets."""
    if isinstance(value, dict):
        value = [f"{name}: {_inner(item)}" for name, item in value.items()]
    return ", ".join(map(_inner, value)) if isinstance(value, list | tuple) else str(value)


def _inner(value: Any) -> str:
    return f"({_words(value)})" if isinstance(value, dict | list | tuple) else str(value)


def recipe_html(recipe: Recipe, missing: list[str], changed: list[str], t: Texts) -> str:
    """What a recipe says of itself, what its user has to say, and what is no longer as it says."""
    options = {"You say": missing, "Changed from the recipe": changed}
    lines = [
        f"<b>{escape(recipe.summary)}</b>",
        escape(recipe.hardware or t("Nobody counted its memory: press Check.")),
        escape(recipe.notes),
    ]
    lines += [
        f"{t(said)}: {escape(', '.join(f'--{name}' for name in names))}" for said, names in options.items() if names
    ]
    return f'<div class="swift-recipe">{"<br>".join(filter(None, lines))}</div>'


def error_html(text: str) -> str:
    """An error that is read first."""
    return f'<div class="swift-error" role="alert">{escape(text)}</div>' if text else ""

"""Small pieces of HTML. Everything that comes from rows, logs or plugins is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from swift_core.contract.recipes import Recipe
from swift_plugin_webui.jobs.store import Job
from swift_plugin_webui.page.texts import Texts


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


def row_html(number: int, row: dict[str, Any]) -> str:
    """One row: where it stands, and its messages, or its tokens coloured by their weight in the loss."""
    head = f'<div class="swift-where">{number} · {escape(str(row["where"]))}{_media(row)}</div>'
    body = _tokens(row["tokens"]) if row.get("tokens") else "".join(map(_message, row["messages"]))
    return f'<div class="swift-row">{head}{body}</div>'


def _media(row: dict[str, Any]) -> str:
    return "".join(f" · {count} {escape(str(sort))}" for sort, count in row.get("media", {}).items())


def _message(message: dict[str, Any]) -> str:
    role, content = escape(str(message.get("role"))), escape(str(message.get("content") or ""))
    calls = escape(str(message["tool_calls"])) if message.get("tool_calls") else ""
    return f'<div class="swift-turn swift-{role}"><b>{role}</b><pre>{content}{calls}</pre></div>'


def _tokens(pieces: list[list[Any]]) -> str:
    """Untrained text is grey; trained text is green, the heavier the stronger."""
    return f"<pre>{''.join(_piece(str(text), float(weight)) for text, weight in pieces)}</pre>"


def _piece(text: str, weight: float) -> str:
    if weight <= 0:
        return f'<span class="swift-untrained">{escape(text)}</span>'
    strength = min(0.75, 0.2 + 0.2 * weight)
    style = f"background: rgba(22, 163, 74, {strength:.2f})"
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
    return escape(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


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

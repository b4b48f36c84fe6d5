"""The chat template that whatever a job saves carries: adapter, checkpoint, merge."""

from __future__ import annotations

from typing import Any

from swift_core.templates.declaration import Template
from swift_core.templates.jinja import jinja, quoted


def carried(
    template: Template, tokenizer: Any, system: str | None, own: str | dict[str, str] | None, parts: bool = False
) -> str | dict[str, str]:
    """The chat template of what was trained, with the job's system text for conversations that bring none.

    own: the checkpoint's own where it writes the same as `template`; it stays, since it may write tools. parts: it
    takes contents as lists of parts.
    """
    source = jinja(template, tokenizer) if own is None else own
    if system is None:
        return source
    if isinstance(source, dict):
        return {name: with_system(text, system, parts) for name, text in source.items()}
    return with_system(source, system, parts)


def with_system(source: str, system: str, parts: bool = False) -> str:
    """A Jinja chat template that writes `system` where a conversation has no system text."""
    content = "[{'type': 'text', 'text': " + quoted(system) + "}]" if parts else quoted(system)
    message = "{'role': 'system', 'content': " + content + "}"
    return (
        "{%- if not (messages and messages[0]['role'] == 'system') %}{%- set messages = [" + message + "] + messages %}"
        "{%- endif %}" + source
    )

"""The same template as a Jinja chat template and in Ollama's Go form."""

from __future__ import annotations

import json
from collections.abc import Callable

from swift_core.templates.declaration import Template


def jinja(template: Template) -> str:
    """A Hugging Face chat template that writes what `spans_of` writes, answers inside `{% generation %}`."""
    return (
        _system_jinja(template) + "{%- for message in messages %}"
        "{%- if message['role'] == 'user' %}"
        + _between(template)
        + _around(template.user, "query", "message['content']")
        + "{%- elif message['role'] == 'tool' %}"
        + _between(template)
        + _around(template.tool or template.user, "query", "message['content']")
        + "{%- elif message['role'] == 'assistant' %}"
        + _out(template.assistant)
        + "{%- generation %}{{- message['content'] }}"
        + _out(template.end)
        + "{%- endgeneration %}"
        + _out(template.after)
        + "{%- endif %}{%- endfor %}"
        + "{%- if add_generation_prompt %}"
        + _out(template.assistant)
        + "{%- endif %}"
    )


def _system_jinja(template: Template) -> str:
    if not template.system:
        return _out(template.start)
    default = "{%- set system = " + json.dumps(template.default_system, ensure_ascii=False) + " %}"
    found = "{%- if messages and messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}"
    written = _around(template.system, "system", "system")
    start = "{%- if system %}" + written + "{%- else %}" + _out(template.start) + "{%- endif %}"
    return default + found + "{%- set messages = messages[1:] %}{%- endif %}" + start


def _between(template: Template) -> str:
    return "{%- if not loop.first %}" + _out(template.between) + "{%- endif %}" if template.between else ""


def _around(text: str, name: str, expression: str) -> str:
    before, _, behind = text.partition("{" + name + "}")
    return _out(before) + "{{- " + expression + " }}" + _out(behind)


def _out(text: str) -> str:
    """Jinja that prints `text` exactly, special tokens by name."""
    out = ""
    for name in ("bos", "eos"):
        before, found, behind = text.partition("{" + name + "}")
        if found:
            return _out(before) + "{{- " + name + "_token }}" + _out(behind)
    if text:
        out = "{{- " + json.dumps(text, ensure_ascii=False) + " }}"
    return out


def ollama(template: Template, bos: str = "", eos: str = "") -> str:
    """Ollama's TEMPLATE: Go's text/template over .System and .Messages, up to the header of the next answer.

    bos, eos: the tokenizer's tokens as text. Ollama puts the bos before the prompt itself, so the text that
    opens a conversation is written without it. System messages stand in .Messages too and are passed over.
    """

    def go(text: str, name: str = "", expression: str = "") -> str:
        before, found, behind = text.partition("{" + name + "}") if name else (text, "", "")
        printed = "{{ " + expression + " }}" if found else ""
        return _go(before, bos, eos) + printed + _go(behind, bos, eos)

    between = "{{ if $first }}{{ $first = false }}{{ else }}" + go(template.between) + "{{ end }}"
    between = between if template.between else ""
    return (
        _system_go(template, bos, go)
        + ("{{ $first := true }}" if between else "")
        + '{{ range .Messages }}{{ if eq .Role "user" }}'
        + between
        + go(template.user, "query", ".Content")
        + '{{ else if eq .Role "tool" }}'
        + between
        + go(template.tool or template.user, "query", ".Content")
        + '{{ else if eq .Role "assistant" }}'
        + go(template.assistant)
        + "{{ .Content }}"
        + go(template.end + template.after)
        + "{{ end }}{{ end }}"
        + go(template.assistant)
    )


def _system_go(template: Template, bos: str, go: Callable[..., str]) -> str:
    start, system = (_behind_bos(text, bos) for text in (template.start, template.system))
    if not system:
        return go(start)
    if template.default_system:
        start = system.replace("{system}", template.default_system)
    return "{{ if .System }}" + go(system, "system", ".System") + "{{ else }}" + go(start) + "{{ end }}"


def _behind_bos(text: str, bos: str) -> str:
    text = text.removeprefix("{bos}")
    return text.removeprefix(bos) if bos else text


def _go(text: str, bos: str, eos: str) -> str:
    """Go template text that prints `text`; one with braces, which may mean an action, as a quoted string."""
    text = text.replace("{bos}", bos).replace("{eos}", eos)
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if "{" in text else text

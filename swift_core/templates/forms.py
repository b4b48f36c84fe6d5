"""The same template as a Jinja chat template and in Ollama's Go form."""

from __future__ import annotations

import json

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
    """Ollama's TEMPLATE: Go's text/template over .System and .Messages.

    Ollama itself adds the tokenizer's bos, so a leading `{bos}` is left out. The last message is always the
    user's: the header of the answer follows it.
    """
    t = {k: _go(getattr(template, k), bos, eos) for k in ("start", "system", "user", "assistant", "end", "after")}
    between = _go(template.between, bos, eos)
    opening = t["start"]
    if template.system:
        default = _go(template.system, bos, eos).replace("{system}", _go(template.default_system, bos, eos))
        otherwise = default if template.default_system else t["start"]
        opening = "{{ if .System }}" + t["system"].replace("{system}", "{{ .System }}") + "{{ else }}" + otherwise
        opening += "{{ end }}"
    separated = "{{ if $i }}" + between + "{{ end }}" if between else ""
    return (
        opening
        + "{{ range $i, $m := .Messages }}"
        + '{{ if eq .Role "user" }}'
        + separated
        + t["user"].replace("{query}", "{{ .Content }}")
        + '{{ else if eq .Role "assistant" }}'
        + t["assistant"]
        + "{{ .Content }}"
        + t["end"]
        + t["after"]
        + "{{ end }}{{ end }}"
        + t["assistant"]
    )


def _go(text: str, bos: str, eos: str) -> str:
    text = text.removeprefix("{bos}").replace("{bos}", bos).replace("{eos}", eos)
    return text.replace("{{", '{{ "{{" }}') if "{{" in text else text

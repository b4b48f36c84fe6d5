"""A field as a component of Gradio: drop-downs, switches, boxes of a line or several, code, passwords."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from swift_plugin_webui.forms.fields import Field
from swift_plugin_webui.page.texts import Texts

Draw = Callable[["Drawing"], Any]


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    value: as the component takes it. choices: what the field's list offers. mark: before the name of a changed one.
    """

    field: Field
    value: Any
    choices: list[Any]
    t: Texts
    mark: str
    elem_id: str

    @property
    def info(self) -> str:
        """Help and default."""
        told, said = self.t.help(self.field), default_text(self.field)
        return f"{told} ({self.t('default')}: {said})" if said else told

    @property
    def common(self) -> dict[str, Any]:
        """What every component is given."""
        label = f"{self.mark}{self.field.key}"
        return {"label": label, "info": self.info, "elem_id": self.elem_id, "interactive": True}

    def draw(self) -> Any:
        """The component, within the open block."""
        return _DRAWN[self.field.sort](self)


def default_text(field: Field) -> str:
    """A default in one short line; empty for nothing, and for secrets."""
    value = field.default
    if value in (None, "", [], {}) or field.sort == "secret":
        return ""
    text = (", ".join(map(str, value)) if isinstance(value, list) else str(shown_value(field, value))).replace(
        "\n", " "
    )
    return text if len(text) < 60 else text[:57] + "…"


def shown_value(field: Field, value: Any) -> Any:
    """A value as the field's component takes it."""
    if field.sort == "switch" and not field.empty:
        return bool(value) if isinstance(value, bool) else str(value).lower() == "true"
    if field.sort == "list":
        items = value if isinstance(value, list) else [] if value in (None, "") else [value]
        return items if _is_picked(field) else "\n".join(map(str, items))
    if field.sort == "json" and not isinstance(value, str):
        return json.dumps(value or {}, ensure_ascii=False, indent=1) if value else ""
    if value is None:
        return ""  # None would leave in a list what it showed before
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _is_picked(field: Field) -> bool:
    return bool(field.choices) or field.key.endswith(("dataset", "adapters"))


def _choice(d: Drawing) -> Any:
    known = [(str(c), str(c)) for c in d.field.choices]
    choices = [("", ""), *known] if d.field.empty else known
    return gr.Dropdown(choices, value=d.value, allow_custom_value=d.field.free, **d.common)


def _switch(d: Drawing) -> Any:
    if d.field.empty:
        return gr.Dropdown([("", ""), "true", "false"], value=d.value or "", **d.common)
    return gr.Checkbox(d.value, **d.common)


def _list(d: Drawing) -> Any:
    if not _is_picked(d.field):
        return gr.Textbox(d.value, lines=2, placeholder=d.t("One a line"), **d.common)
    return gr.Dropdown(d.choices, value=d.value, multiselect=True, allow_custom_value=d.field.free, **d.common)


def _text(d: Drawing) -> Any:
    if d.choices:
        return gr.Dropdown([("", ""), *d.choices], value=d.value or "", allow_custom_value=True, **d.common)
    return _line(d)


def _line(d: Drawing) -> Any:
    return gr.Textbox(d.value, max_lines=1, **d.common)


def _lines(d: Drawing) -> Any:
    return gr.Textbox(d.value, lines=3, max_lines=12, **d.common)


def _json(d: Drawing) -> Any:
    common = d.common
    info = common.pop("info")
    with gr.Column(min_width=270):
        drawn = gr.Code(d.value, language="json", lines=2, max_lines=10, show_line_numbers=False, **common)
        gr.Markdown(info, elem_classes="swift-info")
    return drawn


def _secret(d: Drawing) -> Any:
    return gr.Textbox(d.value, type="password", max_lines=1, **d.common)


_DRAWN: dict[str, Draw] = {
    "choice": _choice,
    "switch": _switch,
    "integer": _line,
    "number": _line,
    "text": _text,
    "lines": _lines,
    "list": _list,
    "json": _json,
    "secret": _secret,
}

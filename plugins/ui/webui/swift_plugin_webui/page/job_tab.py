"""A tab that fills in a job, shows the command, and starts it: training, deployment, evaluation, export, sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from swift_core import SwiftError
from swift_plugin_webui.forms.fields import Field
from swift_plugin_webui.forms.presets import MEMORY, TASKS
from swift_plugin_webui.forms.shown import Form
from swift_plugin_webui.jobs.devices import gpus
from swift_plugin_webui.page import ask, pickers
from swift_plugin_webui.page.context import Context
from swift_plugin_webui.page.drafts import Draft, changed, remember, remembered
from swift_plugin_webui.page.html import error_html

MOST_FOUND = 40
"""Fields of a search that are drawn."""

LATER = "async (...given) => { await new Promise(done => setTimeout(done, 400)); return given }"
"""What was typed last may still be on its way when a button is pressed: it is let pass."""

FILES = [".yaml", ".yml", ".json", ".sh"]


class JobTab:
    """name: of the tab. jobs: what it can start, the first by default."""

    def __init__(self, context: Context, name: str, jobs: tuple[str, ...]):
        self.context, self.name, self.jobs = context, name, jobs
        self.t, self.store, self.catalogue = context.t, context.store, context.catalogue

    def build(self, tab: gr.Tab) -> None:
        """Draw the tab within the open block."""
        t = self.t
        self.draft = gr.State(Draft(self.name, self.jobs[0]))
        self.redraw = gr.State(0)
        with gr.Row():
            self.job = gr.Radio(
                [*self.jobs], value=self.jobs[0], label=t("Job"), elem_id=self._id("job"), visible=len(self.jobs) > 1
            )
            presets = TASKS.get(self.jobs[0], {})
            trains = self.jobs[0] in TASKS
            self.preset = gr.Dropdown(
                [*presets], value=None, label=t("Begin with"), visible=trains, elem_id=self._id("preset")
            )
            self.memory = gr.Dropdown([*MEMORY], value=None, label=t("Memory of the device"), visible=trains)
        with gr.Row():
            self.search = gr.Textbox(
                label=t("Search options"),
                placeholder=t("A name, or words of its explanation; then Enter"),
                elem_id=self._id("search"),
            )
            self.group = gr.Dropdown([], label=t("More options of"), value=None, elem_id=self._id("group"))
        self._fields()
        self._ends()
        self._events(tab)

    def _id(self, part: str) -> str:
        return f"{self.name}-{part}"

    def _fields(self) -> None:
        @gr.render([self.draft, self.search, self.group], triggers=[self.redraw.change], show_progress="hidden")
        def show(draft: Draft, search: str | None, group: str | None) -> None:
            form = draft.form(self.catalogue)
            if search:
                self._found(form, draft, search)
                return
            fields = form.fields()
            self._grid([fields[key] for key in form.first if key in fields], form, draft)
            for part in form.groups:
                if part.title == group:
                    rest = [field for field in part.fields if field.key not in form.first]
                    gr.Markdown(f"### {part.title}")
                    self._grid(rest, form, draft)

    def _found(self, form: Form, draft: Draft, search: str) -> None:
        left = MOST_FOUND
        for part in form.search(search):
            if left > 0:
                gr.Markdown(f"### {part.title}")
                self._grid(list(part.fields)[:left], form, draft)
            left -= len(part.fields)
        if left == MOST_FOUND:
            gr.Markdown(self.t("No option fits."))

    def _grid(self, fields: list[Field], form: Form, draft: Draft) -> None:
        with gr.Row(elem_classes="swift-grid"):
            for field in fields:
                self._one(field, form, draft)

    def _one(self, field: Field, form: Form, draft: Draft) -> None:
        component = self._component(field, self._value(field, draft), self._label(form, field, draft))
        several = isinstance(component, gr.Dropdown) and component.multiselect
        event = component.change if several else component.input  # a value of one's own among several is no input

        def typed(value: Any, draft: Draft, count: int) -> tuple[Any, ...]:
            if _shown(field, value) == self._value(field, draft):  # as it was drawn
                return (gr.skip(),) * 5
            draft.take(field.key, value)
            now = draft.form(self.catalogue)
            drawn = count + 1 if field.kind and field.kind not in ("model", "template", "bbox") else count
            marked = gr.skip() if field.sort == "json" else gr.update(label=self._label(now, field, draft))
            return (marked, drawn, *self._preview(draft))

        event(
            typed,
            [component, self.draft, self.redraw],
            [component, self.redraw, self.command, self.yaml, self.faults],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )

    def _label(self, form: Form, field: Field, draft: Draft) -> str:
        return f"● {field.key}" if changed(form, field, draft.raw) else field.key

    def _value(self, field: Field, draft: Draft) -> Any:
        value = draft.raw.get(field.key, None if field.sort == "secret" else field.default)
        return _shown(field, value)

    def _component(self, field: Field, value: Any, label: str) -> Any:
        said = _default(field)
        info = f"{field.help} ({self.t('default')}: {said})" if said else field.help
        common: dict[str, Any] = {"label": label, "info": info, "elem_id": self._id(field.key), "interactive": True}
        return _DRAWN[field.sort](self, field, value, common)

    def choices(self, field: Field) -> list[Any]:
        """What a field's list offers."""
        found: Callable[..., list[Any]] | None = {
            "model": pickers.models,
            "dataset": pickers.data_files,
            "val_dataset": pickers.data_files,
            "eval_dataset": pickers.data_files,
            "ckpt_dir": pickers.checkpoints_here,
            "adapters": pickers.checkpoints_here,
        }.get(field.key)
        return found(self.store) if found else [*field.choices]

    def _ends(self) -> None:
        t = self.t
        with gr.Row():
            self.upload = gr.UploadButton(t("Upload data"), size="sm", file_count="single", elem_id=self._id("upload"))
            self.read = gr.UploadButton(t("Load YAML or .sh"), size="sm", file_types=FILES, elem_id=self._id("load"))
            self.reset = gr.Button(t("Reset"), size="sm")
        devices = gpus()
        with gr.Row(visible=bool(devices)):
            self.devices = gr.CheckboxGroup([(text, number) for number, text in devices], label=t("Devices"))
            self.waits = gr.Checkbox(bool(devices), label=t("Wait until they are free"))
        self.faults = gr.HTML(elem_id=self._id("faults"))
        with gr.Row():
            self.command = gr.Code(
                language="shell", label=t("The command"), interactive=False, lines=2, max_lines=12, wrap_lines=True,
                show_line_numbers=False, elem_id=self._id("command"),
            )  # fmt: skip
            self.yaml = gr.Code(
                language="yaml", label=t("As job file"), interactive=False, lines=2, max_lines=12,
                show_line_numbers=False, elem_id=self._id("yaml"),
            )  # fmt: skip
        with gr.Row():
            self.check = gr.Button(t("Check: refusals and memory"), elem_id=self._id("check"))
            self.run = gr.Button(t("Run"), variant="primary", elem_id=self._id("run"))
        self.said = gr.Textbox(
            label=t("What swift says of it"), lines=4, max_lines=24, visible=False, interactive=False,
            elem_id=self._id("said"),
        )  # fmt: skip

    def _events(self, tab: gr.Tab) -> None:
        told = [self.command, self.yaml, self.faults]
        again = [self.redraw, self.job, self.group, *told]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

        def refreshed(draft: Draft, count: int, redraw: bool = True) -> tuple[Any, ...]:
            titles = [part.title for part in draft.form(self.catalogue).groups]
            return (count + redraw, draft.job, gr.update(choices=[("", ""), *titles]), *self._preview(draft))

        def loaded(draft: Draft, count: int) -> tuple[Any, ...]:
            if count:  # the tab was there before
                return (gr.skip(),) * (1 + len(again))
            draft = remembered(self.store, self.name, self.jobs)
            return (draft, *refreshed(draft, count))

        seen = self.context.blocks.load if self.name == "train" else tab.select  # the others are drawn when looked at
        seen(loaded, [self.draft, self.redraw], [self.draft, *again], **quiet)

        def other_job(job: str, draft: Draft, count: int) -> tuple[Any, ...]:
            draft.job = job
            return (*refreshed(draft, count), gr.update(choices=[*TASKS.get(job, {})], value=None))

        self.job.input(other_job, [self.job, self.draft, self.redraw], [*again, self.preset], **quiet)

        def groups(draft: Draft, count: int) -> Any:
            return refreshed(draft, count, False)[2]

        self.redraw.change(groups, [self.draft, self.redraw], self.group, **quiet)
        for asked in (self.search.submit, self.group.input):
            asked(lambda count: count + 1, self.redraw, self.redraw, js=LATER, **quiet)

        def begin(preset: str | None, memory: str | None, draft: Draft, count: int) -> tuple[Any, ...]:
            draft.add({**MEMORY.get(memory or "", {}), **TASKS.get(draft.job, {}).get(preset or "", {})})
            return refreshed(draft, count)

        for box in (self.preset, self.memory):
            box.input(begin, [self.preset, self.memory, self.draft, self.redraw], again, **quiet)

        def read(file: str, draft: Draft, count: int) -> tuple[Any, ...]:
            with open(file, encoding="utf-8-sig", errors="replace") as stream:
                _warned(draft.load, stream.read(), self.jobs)
            return refreshed(draft, count)

        self.read.upload(read, [self.read, self.draft, self.redraw], again, **quiet)

        def reset(draft: Draft, count: int) -> tuple[Any, ...]:
            draft.raw.clear()
            return refreshed(draft, count)

        self.reset.click(reset, [self.draft, self.redraw], again, **quiet)

        def uploaded(file: str, draft: Draft, count: int) -> tuple[Any, ...]:
            key = "eval_dataset" if "eval_dataset" in draft.form(self.catalogue).fields() else "dataset"
            before = draft.raw.get(key) or []
            draft.take(
                key, [*(before if isinstance(before, list) else [before]), pickers.keep_upload(self.store, file)]
            )
            return refreshed(draft, count)

        self.upload.upload(uploaded, [self.upload, self.draft, self.redraw], again, **quiet)
        self.check.click(self._checked, self.draft, [self.said, self.faults], js=LATER, api_visibility="private")
        self.run.click(
            self._start,
            [self.draft, self.devices, self.waits],
            [self.faults, self.context.tabs, self.context.picked],
            js=LATER,
            api_visibility="private",
        )

    def _preview(self, draft: Draft) -> tuple[str, str, str]:
        """(command, job file, what is wrong with the values)."""
        try:
            written = draft.written(self.catalogue)
        except SwiftError as error:
            return "", "", error_html(str(error))
        return written.shown(), written.as_yaml(), ""

    def _checked(self, draft: Draft) -> tuple[Any, str]:
        try:
            written = draft.written(self.catalogue)
            self.store.places.check_values(written.values)
        except SwiftError as error:
            return gr.update(visible=False), error_html(str(error))
        refused = ask.refusal(written)
        if refused:
            return gr.update(visible=False), error_html(refused)
        said = [self.t("Nothing is refused."), ask.plan(written)]
        return gr.update(value="\n\n".join(filter(None, said)), visible=True), ""

    def _start(self, draft: Draft, devices: list[str], waits: bool) -> tuple[Any, Any, Any]:
        try:
            written = draft.written(self.catalogue)
            job = self.store.start(written, devices or None, waits)
        except SwiftError as error:
            return error_html(str(error)), gr.skip(), gr.skip()
        remember(self.store, draft, written)
        names = [one.name for one in self.store.all()]
        return "", gr.Tabs(selected="runs"), gr.update(choices=names, value=job.name)


def _warned(function: Callable[..., Any], *arguments: Any) -> None:
    """Do it; a mistake is shown beside the page."""
    try:
        function(*arguments)
    except SwiftError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from None


def _default(field: Field) -> str:
    value = field.default
    if value in (None, "", [], {}) or field.sort == "secret":
        return ""
    text = (", ".join(map(str, value)) if isinstance(value, list) else str(_shown(field, value))).replace("\n", " ")
    return text if len(text) < 60 else text[:57] + "…"


def _shown(field: Field, value: Any) -> Any:
    """A value as the field's component takes it."""
    if field.sort == "switch" and not field.empty:
        return bool(value) if isinstance(value, bool) else str(value).lower() == "true"
    if field.sort == "list":
        items = value if isinstance(value, list) else [] if value in (None, "") else [value]
        return items if _is_picked(field) else "\n".join(map(str, items))
    if field.sort == "json" and not isinstance(value, str):
        import json

        return json.dumps(value or {}, ensure_ascii=False, indent=1) if value else ""
    if value is None:
        return "" if field.sort != "choice" else None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _is_picked(field: Field) -> bool:
    return bool(field.choices) or field.key.endswith(("dataset", "adapters"))


def _draw_choice(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    choices = [("", ""), *((str(c), str(c)) for c in field.choices)] if field.empty else [str(c) for c in field.choices]
    return gr.Dropdown(choices, value=value, allow_custom_value=field.free, **common)


def _draw_switch(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    if field.empty:
        return gr.Dropdown([("", ""), "true", "false"], value=value or "", **common)
    return gr.Checkbox(value, **common)


def _draw_list(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    if not _is_picked(field):
        return gr.Textbox(value, lines=2, placeholder=tab.t("One a line"), **common)
    return gr.Dropdown(tab.choices(field), value=value, multiselect=True, allow_custom_value=field.free, **common)


def _draw_text(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    choices = tab.choices(field)
    if choices:
        return gr.Dropdown([("", ""), *choices], value=value or "", allow_custom_value=True, **common)
    return gr.Textbox(value, max_lines=1, **common)


def _draw_line(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    return gr.Textbox(value, max_lines=1, **common)


def _draw_lines(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    return gr.Textbox(value, lines=3, max_lines=12, **common)


def _draw_json(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    info = common.pop("info")
    with gr.Column(min_width=320):
        drawn = gr.Code(value, language="json", lines=2, max_lines=10, show_line_numbers=False, **common)
        gr.Markdown(info, elem_classes="swift-info")
    return drawn


def _draw_secret(tab: JobTab, field: Field, value: Any, common: dict[str, Any]) -> Any:
    return gr.Textbox(value, type="password", max_lines=1, **common)


_DRAWN: dict[str, Callable[[JobTab, Field, Any, dict[str, Any]], Any]] = {
    "choice": _draw_choice,
    "switch": _draw_switch,
    "integer": _draw_line,
    "number": _draw_line,
    "text": _draw_text,
    "lines": _draw_lines,
    "list": _draw_list,
    "json": _draw_json,
    "secret": _draw_secret,
}

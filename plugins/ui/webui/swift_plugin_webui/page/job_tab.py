"""A tab that fills in a job, shows the command, and starts it: training, deployment, evaluation, export, sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from swift_core import SwiftError
from swift_plugin_webui.forms.fields import Field
from swift_plugin_webui.forms.presets import MEMORY, TASKS, gib_of
from swift_plugin_webui.forms.shown import SPREAD, Form
from swift_plugin_webui.forms.written import GPUS
from swift_plugin_webui.page import ask, pickers
from swift_plugin_webui.page.context import QUIET, Context
from swift_plugin_webui.page.drafts import Draft, changed, remember, remembered
from swift_plugin_webui.page.drawn import Drawing, shown_value
from swift_plugin_webui.page.html import error_html, recipe_html

DEVICES = "GPUs", "Devices and processes", "Queue while a device is busy"
"""What stands in the section of the devices, besides fields of options: a search finds it by these words."""

LATER = "async (...given) => { await new Promise(done => setTimeout(done, 400)); return given }"
"""What was typed last may still be on its way when a button is pressed: it is let pass."""

FILES = [".yaml", ".yml", ".json", ".sh"]

ALONE: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 1, "concurrency_id": "draw"}
"""Forms are drawn one after the other: Gradio counts the events of a page while it adds some."""

NO_FORM = ("model", "template", "bbox", "dataset")
"""Kinds whose choice brings no other fields."""


class JobTab:
    """name: of the tab. jobs: what it can start, the first by default."""

    def __init__(self, context: Context, name: str, jobs: tuple[str, ...]):
        self.context, self.name, self.jobs = context, name, jobs
        self.t, self.store, self.catalogue = context.t, context.store, context.catalogue

    def build(self, tab: gr.Tab) -> None:
        """Draw the tab within the open block."""
        self.draft = gr.State(Draft(self.name, self.jobs[0]))
        self.redraw = gr.State(0)
        self._begins()
        self._finds()
        self._fields()
        self._spread()
        self._ends()
        self._events(tab)

    def _id(self, part: str) -> str:
        return f"{self.name}-{part}"

    def _begins(self) -> None:
        t, first = self.t, self.jobs[0]
        trains, several = first in TASKS, len(self.jobs) > 1
        with gr.Row(visible=trains or several):
            self.job = gr.Radio([*self.jobs], value=first, label=t("Job"), elem_id=self._id("job"), visible=several)
            self.preset = gr.Dropdown(
                [*TASKS.get(first, {})], value=None, label=t("Begin with"), visible=trains, elem_id=self._id("preset")
            )
            self.memory = gr.Dropdown(
                ["", *MEMORY], value="", label=t("Memory of the device"), visible=trains, elem_id=self._id("memory")
            )
        recipes = self._recipes("")
        self.recipe = gr.Dropdown(
            recipes, value="", label=t("Recipe"), visible=len(recipes) > 1, elem_id=self._id("recipe"),
            info=t("A whole job: task, name, device that it is counted for, model"),
        )  # fmt: skip
        self.about = gr.HTML(elem_id=self._id("about"))

    def _recipes(self, memory: str | None) -> list[tuple[str, str]]:
        return [("", ""), *pickers.recipes(self.jobs, gib_of(memory))]

    def _finds(self) -> None:
        t = self.t
        with gr.Row():
            said = t("A name, or words of its explanation; then Enter")
            self.search = gr.Textbox(label=t("Search options"), placeholder=said, elem_id=self._id("search"))
            self.group = gr.Dropdown([], label=t("More options of"), value=None, elem_id=self._id("group"))
            self.spreads = gr.Checkbox(
                False, label=t("Devices and processes"), elem_id=self._id("spread"), min_width=200
            )

    def _fields(self) -> None:
        asked = [self.draft, self.search, self.group, self.spreads, self.redraw]

        @gr.render(asked, triggers=[self.redraw.change], **ALONE)
        def show(draft: Draft, search: str | None, group: str | None, spreads: bool, count: int) -> None:
            parts = draft.form(self.catalogue).parts(search or "", group or "", spreads, self.t.help)
            for part in parts:
                if part.title:
                    gr.Markdown(f"### {self.t(SPREAD) if part.title == SPREAD else part.title}")
                self._grid(list(part.fields), draft, count)
            if not parts and not self._means_devices(search):
                gr.Markdown(self.t("No option fits."))

    def _grid(self, fields: list[Field], draft: Draft, count: int) -> None:
        """The number of the values and that of the drawing are for the browser: see `typed.js`."""
        with gr.Row(elem_classes=["swift-grid", f"swift-values-{draft.taken_over}", f"swift-drawn-{count}"]):
            for field in fields:
                self._one(field, draft)

    def _one(self, field: Field, draft: Draft) -> None:
        shown, mark = self._value(field, draft), self._mark(field, draft)
        drawing = Drawing(field, shown, self._choices(field), self.t, mark, self._id(field.key))
        component = drawing.draw()
        several = isinstance(component, gr.Dropdown) and component.multiselect
        event = component.change if several else component.input  # a value of one's own among several is no input

        def typed(value: Any, draft: Draft, count: int) -> tuple[Any, ...]:
            return self._typed(field, value, draft, count)

        event(
            typed,
            [component, self.draft, self.redraw],
            [component, self.redraw, *self.told],
            trigger_mode="multiple",
            key=self._id(field.key),  # what is sent meanwhile by the form before still finds its way
            **QUIET,
        )

    def _typed(self, field: Field, value: Any, draft: Draft, count: int) -> tuple[Any, ...]:
        """(the component with its mark, the number of the drawing, the preview)."""
        if shown_value(field, value) == self._value(field, draft):  # as it was drawn
            told = [gr.skip()] * len(self.told) if field.sort == "list" else self._preview(draft)
            return (gr.skip(), gr.skip(), *told)  # lists speak up when they are drawn; others were typed twice
        before = draft.form(self.catalogue)
        draft.take(field.key, value)
        brings = bool(field.kind) and field.kind not in NO_FORM
        if brings:
            self._left_out(draft, before)
        marked = gr.skip() if field.sort == "json" else gr.update(label=f"{self._mark(field, draft)}{field.key}")
        return (marked, count + brings, *self._preview(draft))

    def _left_out(self, draft: Draft, before: Form) -> None:
        """Say which values went away with the component that took them."""
        gone = draft.leave_out(before, self.catalogue)
        if gone:
            gr.Info(f"{self.t('Left out, since nothing takes it any more')}: {', '.join(gone)}")

    def _mark(self, field: Field, draft: Draft) -> str:
        return "● " if changed(field, draft.raw) else ""

    def _value(self, field: Field, draft: Draft) -> Any:
        return shown_value(field, draft.raw.get(field.key, None if field.sort == "secret" else field.default))

    def _choices(self, field: Field) -> list[Any]:
        """What a field's list offers."""
        found: Callable[..., list[Any]] | None = {
            "model": pickers.models,
            "dataset": pickers.datasets,
            "val_dataset": pickers.datasets,
            "eval_dataset": pickers.data_files,
            "ckpt_dir": pickers.checkpoints_here,
            "adapters": pickers.checkpoints_here,
        }.get(field.key)
        return found(self.store) if found else [*field.choices]

    def _spread(self) -> None:
        """GPUs and the queue; the fields that say how a step is shared are drawn with the others."""
        t, gpus = self.t, self.context.gpus
        with gr.Row(visible=False) as self.places:
            self.devices = gr.CheckboxGroup(
                [(text, number) for number, text in gpus], label=t("GPUs"), info=t("None chosen: all of them"),
                visible=bool(gpus), elem_id=self._id("gpus"),
            )  # fmt: skip
            self.waits = gr.Checkbox(
                bool(gpus), label=t("Queue while a device is busy"), elem_id=self._id("waits"),
                info=t("Behind jobs that came earlier on the same devices"),
            )  # fmt: skip
            if not gpus:
                gr.Markdown(t("No NVIDIA GPU was found here: jobs take what torch finds."))

    def _ends(self) -> None:
        t = self.t
        with gr.Row():
            self.upload = gr.UploadButton(t("Upload data"), size="sm", file_count="single", elem_id=self._id("upload"))
            self.read = gr.UploadButton(t("Load YAML or .sh"), size="sm", file_types=FILES, elem_id=self._id("load"))
            self.reset = gr.Button(t("Reset"), size="sm", elem_id=self._id("reset"))
        self.faults = gr.HTML(elem_id=self._id("faults"))
        with gr.Row():
            code: dict[str, Any] = {"interactive": False, "lines": 2, "max_lines": 12, "show_line_numbers": False}
            self.command = gr.Code(
                language="shell", label=t("The command"), wrap_lines=True, elem_id=self._id("command"), **code
            )
            self.yaml = gr.Code(language="yaml", label=t("As job file"), elem_id=self._id("yaml"), **code)
        with gr.Row():
            self.check = gr.Button(t("Check: refusals and memory"), elem_id=self._id("check"))
            self.run = gr.Button(t("Run"), variant="primary", elem_id=self._id("run"))
        self.said = gr.Textbox(
            label=t("What swift says of it"), lines=4, max_lines=24, visible=False, interactive=False,
            elem_id=self._id("said"),
        )  # fmt: skip

    @property
    def told(self) -> list[Any]:
        """What shows the job as it is filled in."""
        return [self.command, self.yaml, self.faults, self.about]

    def _events(self, tab: gr.Tab) -> None:
        own = [self.draft, self.redraw]
        again = [self.redraw, self.job, self.group, *self.told]
        seen = self.context.blocks.load if self.name == "train" else tab.select  # the others are drawn when looked at
        seen(self._loaded, own, [self.draft, *again, self.devices], **QUIET)
        self.job.input(self._other_job, [self.job, *own], [*again, self.preset, self.recipe], **QUIET)
        self.redraw.change(
            lambda draft, count: self._refreshed(draft, count)[2:], own, [self.group, *self.told], **QUIET
        )
        for asked in (self.search.submit, self.group.input):
            asked(
                self._asked, [self.search, self.group, *own], [self.redraw, self.spreads, self.places], js=LATER,
                **QUIET,
            )  # fmt: skip
        self.spreads.input(self._spread_out, [self.spreads, self.redraw], [self.places, self.redraw], **QUIET)
        for box in (self.preset, self.memory):
            box.input(self._begun, [self.preset, self.memory, *own], again, **QUIET)
        self.memory.input(self._narrowed, [self.memory, self.draft], self.recipe, **QUIET)
        self.recipe.input(self._taken, [self.recipe, *own], [*again, self.preset], **QUIET)
        self.read.upload(self._read, [self.read, *own], [*again, self.devices, self.recipe], **QUIET)
        self.reset.click(self._emptied, own, [*again, self.devices, self.preset, self.memory, self.recipe], **QUIET)
        self.upload.upload(self._uploaded, [self.upload, *own], again, **QUIET)
        self.devices.input(self._on, [self.devices, self.draft], self.told, **QUIET)
        self.check.click(
            self._checked, [self.draft, self.memory], [self.said, self.faults], js=LATER, api_visibility="private"
        )
        self.run.click(
            self._start, [self.draft, self.waits], [self.faults, self.context.tabs, self.context.picked], js=LATER,
            api_visibility="private",
        )  # fmt: skip

    def _refreshed(self, draft: Draft, count: int) -> tuple[Any, ...]:
        """What is shown once the values have changed: number of the drawing, job, groups, preview."""
        form = draft.form(self.catalogue)
        titles = [part.title for part in form.groups if form.rest(part.title)]
        return (count + 1, draft.job, gr.update(choices=[("", ""), *titles]), *self._preview(draft))

    def _loaded(self, draft: Draft, count: int) -> tuple[Any, ...]:
        if count:  # the tab was there before
            return (gr.skip(),) * 9
        draft = remembered(self.store, self.name, self.jobs)
        return (draft, *self._refreshed(draft, count), draft.devices)

    def _other_job(self, job: str, draft: Draft, count: int) -> tuple[Any, ...]:
        before, draft.job, draft.recipe = draft.form(self.catalogue), job, None
        self._left_out(draft, before)
        return (*self._refreshed(draft, count), self._begins_with(draft), "")

    def _begins_with(self, draft: Draft) -> Any:
        """The presets of another job, none of them chosen."""
        return gr.update(choices=[*TASKS.get(draft.job, {})], value=None)

    def _asked(self, search: str | None, group: str | None, draft: Draft, count: int) -> tuple[Any, ...]:
        """Draw what is searched for, if it is not there: lists also speak up when one only passes through them.

        A search for devices brings their section.
        """
        if draft.asked == (search or "", group or ""):
            return (gr.skip(),) * 3
        draft.asked = (search or "", group or "")
        if self._means_devices(search):
            return count + 1, True, gr.update(visible=True)
        return count + 1, gr.skip(), gr.skip()

    def _means_devices(self, search: str | None) -> bool:
        """Whether all words of a search stand on the section of the devices, in either language."""
        there = " ".join([GPUS, *DEVICES, *map(self.t, DEVICES)]).lower()
        words = (search or "").lower().split()
        return bool(words) and all(word in there for word in words)

    def _spread_out(self, on: bool, count: int) -> tuple[Any, int]:
        return gr.update(visible=on), count + 1

    def _begun(self, preset: str | None, memory: str | None, draft: Draft, count: int) -> tuple[Any, ...]:
        values = {**MEMORY.get(memory or "", {}), **TASKS.get(draft.job, {}).get(preset or "", {})}
        if all(draft.raw.get(key) == value for key, value in values.items()):
            return (gr.skip(),) * 7
        draft.add(values)
        return self._refreshed(draft, count)

    def _narrowed(self, memory: str | None, draft: Draft) -> Any:
        """The recipes that a device of this memory is enough for; the one that is chosen stays in the list."""
        choices, name = self._recipes(memory), draft.recipe.name if draft.recipe else ""
        every = self._recipes("") if name not in [value for _, value in choices] else []
        return gr.update(choices=[*choices, *(choice for choice in every if choice[1] == name)])

    def _taken(self, name: str | None, draft: Draft, count: int) -> tuple[Any, ...]:
        """A recipe in place of what was filled in."""
        if not name or (draft.recipe and draft.recipe.name == name):
            return (gr.skip(),) * 8
        _warned(lambda: draft.begin(self.catalogue.find("recipe", name).load(), self.jobs, self.catalogue))
        return (*self._refreshed(draft, count), self._begins_with(draft))

    def _read(self, file: str, draft: Draft, count: int) -> tuple[Any, ...]:
        with open(file, encoding="utf-8-sig", errors="replace") as stream:
            _warned(draft.load, stream.read(), self.jobs)
        return (*self._refreshed(draft, count), draft.devices, "")

    def _emptied(self, draft: Draft, count: int) -> tuple[Any, ...]:
        draft.empty()
        return (*self._refreshed(draft, count), [], None, "", gr.update(choices=self._recipes(""), value=""))

    def _uploaded(self, file: str, draft: Draft, count: int) -> tuple[Any, ...]:
        key = "eval_dataset" if "eval_dataset" in draft.form(self.catalogue).fields() else "dataset"
        before = draft.raw.get(key) or []
        kept = pickers.keep_upload(self.store, file)
        draft.take(key, [*(before if isinstance(before, list) else [before]), kept])
        return self._refreshed(draft, count)

    def _on(self, devices: list[str], draft: Draft) -> tuple[str, ...]:
        draft.devices = devices
        return self._preview(draft)

    def _preview(self, draft: Draft) -> tuple[str, ...]:
        """(command, job file, what is wrong with the values, the recipe and what is changed of it)."""
        try:
            written = draft.written(self.catalogue)
        except SwiftError as error:
            return "", "", error_html(str(error)), self._of_recipe(draft, {**draft.base})
        return written.shown(), written.as_yaml(), "", self._of_recipe(draft, written.values)

    def _of_recipe(self, draft: Draft, values: dict[str, Any]) -> str:
        if draft.recipe is None:
            return ""
        return recipe_html(
            draft.recipe, [n for n in draft.recipe.needs if n not in values], draft.departs(values), self.t
        )

    def _checked(self, draft: Draft, memory: str | None) -> tuple[Any, str]:
        try:
            written = draft.written(self.catalogue)
            self.store.places.check_values(written.values)
        except SwiftError as error:
            return gr.update(visible=False), error_html(str(error))
        refused = ask.refusal(written)
        if refused:
            return gr.update(visible=False), error_html(refused)
        said = [self.t("Nothing is refused."), ask.plan(written, gib_of(memory), not self.context.gpus)]
        return gr.update(value="\n\n".join(filter(None, said)), visible=True), ""

    def _start(self, draft: Draft, waits: bool) -> tuple[Any, Any, Any]:
        try:
            written = draft.written(self.catalogue)
            job = self.store.start(written, waits)
        except (SwiftError, OSError) as error:
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

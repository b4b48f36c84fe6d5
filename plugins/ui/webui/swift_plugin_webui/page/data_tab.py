"""A data set as rows, and as what a model would be trained on; lengths, and what is wrong with rows."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pandas

from swift_core import SwiftError
from swift_core.data.seen import histogram
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.page import ask, pickers
from swift_plugin_webui.page.context import QUIET, Context
from swift_plugin_webui.page.html import error_html, row_html

COUNT = 10
"""Rows of a page."""

BARS = 20

OWN = ("sft", "pt")
"""Methods that have a job of their own."""


class DataTab:
    """Pick a data set, see its rows."""

    def __init__(self, context: Context):
        self.context, self.t, self.store = context, context.t, context.store

    def build(self, tab: gr.Tab) -> None:
        """Draw the tab within the open block."""
        t = self.t
        with gr.Row():
            self.dataset = gr.Dropdown(
                [], label=t("Data set"), allow_custom_value=True, elem_id="data-dataset", scale=3,
                info=t("A file, or owner/name:subset/split#count"),
            )  # fmt: skip
            self.model = gr.Dropdown(
                [], label=t("As this model is trained on it"), allow_custom_value=True, elem_id="data-model", scale=3,
                info=t("Left out: the messages alone"),
            )  # fmt: skip
            self.method = gr.Dropdown(
                [entry.name for entry in self.context.catalogue.of_kind("trainer")], value="sft", label=t("Method"),
                elem_id="data-method", info=t("What it trains of a row is coloured"),
            )  # fmt: skip
            self.first = gr.Number(1, precision=0, minimum=1, label=t("From row"), elem_id="data-first")
        with gr.Row():
            self.examples = gr.Checkbox(
                False, label=t("The example of its card alone: nothing is fetched"), elem_id="data-examples"
            )
            self.upload = gr.UploadButton(t("Upload data"), size="sm")
            self.show = gr.Button(t("Show"), variant="primary", elem_id="data-show")
        self.error = gr.HTML(elem_id="data-error")
        self.said = gr.Textbox(
            label=t("What is said of the rows"),
            visible=False,
            interactive=False,
            lines=2,
            max_lines=14,
            elem_id="data-said",
        )
        self.rows = gr.HTML(elem_id="data-rows")
        self.lengths = gr.BarPlot(x="length", y="rows", visible=False, height=220, elem_id="data-lengths")
        tab.select(self._choices, None, [self.dataset, self.model], **QUIET)
        self.upload.upload(self._uploaded, self.upload, self.dataset, **QUIET)
        shown = [self.error, self.said, self.rows, self.lengths]
        self.show.click(
            self._look, [self.dataset, self.model, self.method, self.first, self.examples], shown,
            api_visibility="private", concurrency_limit=4,
        )  # fmt: skip

    def _choices(self) -> tuple[Any, Any]:
        data, models = pickers.datasets(self.store), pickers.models(self.store)
        return gr.update(choices=data), gr.update(choices=[("", ""), *models])

    def _uploaded(self, file: str) -> Any:
        name = pickers.keep_upload(self.store, file)
        return gr.update(choices=pickers.datasets(self.store), value=name)

    def _look(
        self, dataset: str | None, model: str | None, method: str | None, first: float | None, examples: bool
    ) -> tuple[Any, ...]:
        nothing = gr.update(visible=False)
        if not dataset:
            return error_html(self.t("Choose a data set first.")), nothing, "", nothing
        written = as_trained(dataset, model, method or "sft")
        try:
            self.store.places.check_values(written.values)
        except SwiftError as error:
            return error_html(str(error)), nothing, "", nothing
        start, folders = max(0, int(first or 1) - 1), [str(folder) for folder in self.store.places.folders]
        found = ask.look(written, first=start, count=COUNT, folders=folders, examples=examples)
        said = "\n".join(found.get("said", []))
        told = gr.update(value=said, visible=bool(said))
        if "error" in found:
            return error_html(found["error"]), told, "", nothing
        rows = "".join(row_html(start + n, row, self.t) for n, row in enumerate(found["rows"], 1))
        return self._fault(found, start), told, self._head(found, start) + rows, self._bars(found)

    def _fault(self, found: dict[str, Any], start: int) -> str:
        """Why no row is shown, if none is."""
        if found["rows"]:
            return ""
        return error_html(
            self.t("The data set ends before this row.")
            if found["total"]
            else self.t("It holds no rows that can be used.")
        )

    def _head(self, found: dict[str, Any], start: int) -> str:
        return f"<p>{start + 1}–{start + len(found['rows'])} / {found['total']}</p>" if found["rows"] else ""

    def _bars(self, found: dict[str, Any]) -> Any:
        """How many rows are how long."""
        if not found["lengths"]:
            return gr.update(visible=False)
        bars = [(f"{low}–{high}" if high > low else str(low), n) for low, high, n in histogram(found["lengths"], BARS)]
        title = f"{self.t('Lengths in ' + found['unit'])}: {len(found['lengths'])} {self.t('rows')}"
        frame = pandas.DataFrame(bars, columns=["length", "rows"])
        return gr.BarPlot(frame, visible=True, sort=[label for label, _ in bars], title=title)


def as_trained(dataset: str, model: str | None, method: str) -> WrittenJob:
    """The job whose rows are shown. Without a model nothing is loaded, and no template is looked for."""
    values: dict[str, Any] = {"dataset": [dataset], "strict": False}
    values |= {"model": model} if model else {"loader": "", "tuner": [], "template": "chatml"}
    return WrittenJob(method, values) if method in OWN else WrittenJob("rlhf", {**values, "trainer": method})

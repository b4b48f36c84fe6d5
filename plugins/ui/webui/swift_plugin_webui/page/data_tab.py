"""A data set as rows, and as what a model would be trained on; lengths, and what is wrong with rows."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pandas

from swift_core import SwiftError
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.page import ask, pickers
from swift_plugin_webui.page.context import QUIET, Context
from swift_plugin_webui.page.html import error_html, row_html

COUNT = 10
"""Rows of a page."""

BARS = 20


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
            self.first = gr.Number(1, precision=0, minimum=1, label=t("From row"), elem_id="data-first")
        with gr.Row():
            self.upload = gr.UploadButton(t("Upload data"), size="sm")
            self.show = gr.Button(t("Show"), variant="primary", elem_id="data-show")
        self.error = gr.HTML(elem_id="data-error")
        self.said = gr.Textbox(
            label=t("What is said of the rows"), visible=False, interactive=False, lines=2, max_lines=14
        )
        self.rows = gr.HTML(elem_id="data-rows")
        self.lengths = gr.BarPlot(
            x="tokens", y="rows", visible=False, height=220, title=t("Lengths in tokens"), elem_id="data-lengths"
        )
        tab.select(self._choices, None, [self.dataset, self.model], **QUIET)
        self.upload.upload(self._uploaded, self.upload, self.dataset, **QUIET)
        shown = [self.error, self.said, self.rows, self.lengths]
        self.show.click(
            self._look, [self.dataset, self.model, self.first], shown, api_visibility="private", concurrency_limit=4
        )

    def _choices(self) -> tuple[Any, Any]:
        data, models = pickers.datasets(self.store), pickers.models(self.store)
        return gr.update(choices=data), gr.update(choices=[("", ""), *models])

    def _uploaded(self, file: str) -> Any:
        name = pickers.keep_upload(self.store, file)
        return gr.update(choices=pickers.datasets(self.store), value=name)

    def _look(self, dataset: str | None, model: str | None, first: float | None) -> tuple[Any, ...]:
        nothing = gr.update(visible=False)
        if not dataset:
            return error_html(self.t("Choose a data set first.")), nothing, "", nothing
        values: dict[str, Any] = {"dataset": [dataset], "strict": False}
        values |= {"model": model} if model else {"loader": ""}
        try:
            self.store.places.check_values(values)
        except SwiftError as error:
            return error_html(str(error)), nothing, "", nothing
        start = max(0, int(first or 1) - 1)
        found = ask.look(WrittenJob("sft", values), start, COUNT)
        if "error" in found:
            return error_html(found["error"]), nothing, "", nothing
        said = "\n".join(found["said"])
        rows = "".join(row_html(start + n, row) for n, row in enumerate(found["rows"], 1))
        head = f"<p>{start + 1}–{start + len(found['rows'])} / {found['total']}</p>"
        return "", gr.update(value=said, visible=bool(said)), head + rows, self._bars(found["lengths"])

    def _bars(self, lengths: list[int]) -> Any:
        if not lengths:
            return gr.update(visible=False)
        width = max(1, -(-(max(lengths) + 1) // BARS))
        counts: dict[int, int] = {}
        for length in lengths:
            counts[length // width * width] = counts.get(length // width * width, 0) + 1
        bars = [(f"{low}–{low + width - 1}" if width > 1 else str(low), counts[low]) for low in sorted(counts)]
        return gr.BarPlot(
            pandas.DataFrame(bars, columns=["tokens", "rows"]), visible=True, sort=[label for label, _ in bars]
        )

"""All checkpoints of all families, searched; of one, what `swift show model` says."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from swift_core import SwiftError
from swift_core.cli.listing import show_facts
from swift_plugin_webui.page.context import QUIET, Context
from swift_plugin_webui.page.html import error_html, facts_html
from swift_plugin_webui.page.pickers import card_rows

SHOWN = 200
"""Rows that are listed at once."""

COLUMNS = ("id", "family", "modality", "level", "template")


class ModelsTab:
    """Search, list, page of one model."""

    def __init__(self, context: Context):
        self.context, self.t = context, context.t

    def build(self, tab: gr.Tab) -> None:
        """Draw the tab within the open block."""
        t = self.t
        with gr.Row():
            self.search = gr.Textbox(label=t("Search models"), elem_id="models-search", scale=3)
            self.reads = gr.Dropdown(["", "image", "video", "audio"], value="", label=t("Reads"))
            self.level = gr.Dropdown(["", "model", "media", "weights"], value="", label=t("Conformance level"))
        self.count = gr.Markdown()
        heads = [t(column) for column in COLUMNS]
        self.table = gr.Dataframe(
            headers=heads, interactive=False, max_height=320, label=t("Models"), elem_id="models-table"
        )
        self.facts = gr.HTML(elem_id="models-facts")
        asked: list[Any] = [self.search, self.reads, self.level]
        shown: list[Any] = [self.table, self.count]
        tab.select(self._list, asked, shown, **QUIET)
        for box in asked:
            box.change(self._list, asked, shown, trigger_mode="always_last", **QUIET)
        self.table.select(self._facts, None, self.facts, **QUIET)

    def _list(self, search: str, reads: str, level: str) -> tuple[list[list[str]], str]:
        found = [row for row in card_rows() if _fits(row, search, reads, level)]
        text = f"{len(found)} {self.t('checkpoints')}" + (f", {SHOWN} {self.t('shown')}" if len(found) > SHOWN else "")
        return [[str(row[column]) for column in COLUMNS] for row in found[:SHOWN]], text

    def _facts(self, event: gr.SelectData) -> str:
        try:
            facts = show_facts(self.context.catalogue, "model", str(event.row_value[1]))
        except SwiftError as error:
            return error_html(str(error))
        return facts_html(json.loads(json.dumps({**facts, "file": ""}, default=str)))


def _fits(row: dict[str, Any], search: str, reads: str, level: str) -> bool:
    text = f"{row['id']} {row['family']} {row['template']}".lower()
    words = search.lower().split()
    return all(word in text for word in words) and reads in row["modality"] and level in ("", row["level"])

"""What every tab of a page shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from swift_core.catalogue.entries import Catalogue
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.page.texts import Texts

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For events that show no bar, and that no client calls by name."""


@dataclass
class Context:
    """What all tabs know.

    store: the jobs. t: the language. catalogue: what is installed. blocks, tabs: the page. picked: the job shown.
    gpus: number and name of each GPU of this machine.
    """

    store: Store
    t: Texts
    catalogue: Catalogue
    blocks: gr.Blocks
    tabs: gr.Tabs
    picked: gr.Dropdown
    gpus: list[tuple[str, str]]

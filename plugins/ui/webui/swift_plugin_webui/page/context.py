"""What every tab of a page shares."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from swift_core.catalogue.entries import Catalogue
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.page.texts import Texts


@dataclass
class Context:
    """store: the jobs. t: the language. catalogue: what is installed. blocks, tabs: the page. picked: the job shown."""

    store: Store
    t: Texts
    catalogue: Catalogue
    blocks: gr.Blocks
    tabs: gr.Tabs
    picked: gr.Dropdown

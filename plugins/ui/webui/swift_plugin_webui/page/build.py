"""The page: its tabs, its look."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import gradio as gr

from swift_core.catalogue.entries import Catalogue
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.page.chat_tab import ChatTab
from swift_plugin_webui.page.context import Context
from swift_plugin_webui.page.data_tab import DataTab
from swift_plugin_webui.page.job_tab import JobTab
from swift_plugin_webui.page.models_tab import ModelsTab
from swift_plugin_webui.page.runs_tab import RunsTab
from swift_plugin_webui.page.texts import LANGUAGES, Texts

KEPT = (3600, 86400)
"""How often files of the page (uploads, pictures of chats) are looked at, and how old they become, in seconds."""

FONTS = ["system-ui", "sans-serif"]

THEME = gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_hover="#991b1b",
    button_cancel_background_fill_dark="#b91c1c",
    button_cancel_text_color="white",
    button_cancel_text_color_dark="white",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_title_text_color="*neutral_700",
    body_text_color_subdued="*neutral_600",
    input_placeholder_color="*neutral_600",
    input_placeholder_color_dark="*neutral_300",
)
"""Fonts of the system: none is fetched from elsewhere. Colours that stand out enough from their ground (WCAG AA)."""

CSS = """
.gradio-container > main { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
.swift-grid { display: block !important; }
.swift-grid > .form { background: none; border: 0; }
.swift-grid > .form { display: grid !important; gap: 0; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); }
.swift-plots { display: grid; gap: 0.6rem; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); }
.swift-plot { margin: 0; border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 0.3rem 0.5rem; }
.swift-plot svg { width: 100%; height: auto; }
.swift-plot text { fill: currentColor; font-size: 11px; text-anchor: middle; }
.swift-plot .swift-title { font-size: 13px; font-weight: 600; }
.swift-plot .swift-left { text-anchor: end; }
.swift-plot line { stroke: currentColor; opacity: 0.15; }
.swift-plot figcaption { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; font-size: 0.8rem; }
.swift-plot i { display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 2px; margin-right: 0.3rem; }
.cm-content span { color: inherit !important; }
button[aria-label="Share"] { display: none !important; }
button[role="tab"].selected { color: var(--primary-700) !important; }
.dark button[role="tab"].selected { color: var(--primary-300) !important; }
.swift-head { align-items: baseline; }
.swift-grid .info-text { min-height: 2.7em; }
.block { overflow-wrap: anywhere; }
.min_value, .max_value { white-space: nowrap; }
.swift-info { font-size: 0.85rem; opacity: 0.8; }
.swift-error { white-space: pre-wrap; border-left: 4px solid #b91c1c; background: rgba(185, 28, 28, 0.1);
  padding: 0.6rem 0.8rem; margin: 0.3rem 0; font-weight: 600; }
.swift-recipe { border-left: 4px solid var(--primary-700); padding: 0.3rem 0.8rem; font-size: 0.9rem; }
.swift-files { display: flex; flex-wrap: wrap; gap: 0.8rem; padding: 0.4rem 0; }
.swift-row { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 0.5rem 0.8rem;
  margin: 0.5rem 0; }
.swift-row pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.2rem 0; }
.swift-row mark { color: inherit; border-radius: 3px; }
.swift-media { display: flex; flex-wrap: wrap; gap: 0.5rem; margin: 0.3rem 0; font-size: 0.85rem; }
.swift-media img { max-width: 160px; max-height: 160px; border-radius: 4px; }
.swift-fault { border-left: 4px solid #b91c1c; padding-left: 0.4rem; }
.swift-worse { border-left: 4px solid #ea580c; padding-left: 0.6rem; margin: 0.4rem 0; }
.swift-row summary { cursor: pointer; font-size: 0.85rem; }
.swift-where { font-size: 0.8rem; opacity: 0.8; }
.swift-untrained { opacity: 0.75; }
.swift-facts table { display: block; overflow-x: auto; }
.swift-facts th { text-align: left; padding-right: 1rem; white-space: nowrap; vertical-align: top; }
#runs-log textarea, .swift-row pre { font-family: ui-monospace, monospace; font-size: 0.8rem; }
@media (max-width: 640px) { .gradio-container { padding: 0.4rem !important; }
  .swift-grid > .form, .swift-plots { grid-template-columns: 1fr !important; } }
"""

SCRIPTS = [resources.files(__package__).joinpath(name).read_text("utf-8") for name in ("focus.js", "typed.js")]

HEAD = f'<link rel="icon" href="data:,"><script>{"".join(SCRIPTS)}</script>'

DARK = "() => { document.body.classList.toggle('dark'); }"

TRAINS = ("sft", "pt", "rlhf", "train")


def page(store: Store, t: Texts, gpus: Sequence[tuple[str, str]] = ()) -> gr.Blocks:
    """The page in one language. gpus: number and name of those of this machine."""
    with gr.Blocks(title="swift", analytics_enabled=False, delete_cache=KEPT) as blocks:
        _head(t)
        with gr.Tabs(selected="train", elem_id="tabs") as tabs:
            picked = gr.Dropdown([], label=t("Job"), elem_id="runs-picked", allow_custom_value=True, render=False)
            context = Context(store, t, Catalogue.installed(), blocks, tabs, picked, [*gpus])
            _tabs(context)
    return blocks


def _head(t: Texts) -> None:
    others = " · ".join(f"[{name}](/{path})" for name, path in LANGUAGES.items() if name != t.language)
    with gr.Row(elem_classes="swift-head"):
        gr.Markdown(f"# swift\n{t('Train, chat, serve, evaluate')} · {others}")
        gr.Button(t("Dark or light"), size="sm", scale=0, min_width=140).click(None, js=DARK)


def _tabs(context: Context) -> None:
    t = context.t
    jobs = {"train": ("Train", TRAINS), "deploy": ("Deploy", ("deploy",)), "evaluate": ("Evaluate", ("eval",))}
    later = {"export": ("Export", ("export", "merge-lora")), "sample": ("Sample", ("sample", "infer"))}
    _job_tab(context, "train", *jobs["train"])
    with gr.Tab(t("Chat"), id="chat") as tab:
        ChatTab(context).build(tab)
    for name, (title, those) in {**jobs, **later}.items():
        if name != "train":
            _job_tab(context, name, title, those)
    with gr.Tab(t("Runs"), id="runs"):
        RunsTab(context).build()
    with gr.Tab(t("Data"), id="data") as tab:
        DataTab(context).build(tab)
    with gr.Tab(t("Models"), id="models") as tab:
        ModelsTab(context).build(tab)


def _job_tab(context: Context, name: str, title: str, jobs: tuple[str, ...]) -> None:
    with gr.Tab(context.t(title), id=name) as tab:
        JobTab(context, name, jobs).build(tab)

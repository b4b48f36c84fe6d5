"""A chat with what is deployed here, or with a checkpoint that is deployed for it; two models side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from swift_core import SwiftError
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.jobs import log
from swift_plugin_webui.jobs.record import LOG
from swift_plugin_webui.page import pickers, talk
from swift_plugin_webui.page.context import QUIET, Context

SIDES = ("A", "B")

MANY = {**QUIET, "concurrency_limit": 16}
"""For answers: visitors need not wait for one another's."""


class Side:
    """One of two chats: which server, which of its models, and what was said."""

    def __init__(self, tab: ChatTab, name: str):
        self.tab, self.name, self.busy = tab, name, gr.State(False)

    def build(self) -> None:
        """Draw it within the open block."""
        t, low = self.tab.t, self.name.lower()
        with gr.Row():
            self.server = gr.Dropdown(
                [], label=t("Server"), allow_custom_value=True, elem_id=f"chat-server-{low}", scale=3,
                info=t("A job that serves, or http://127.0.0.1:PORT"),
            )  # fmt: skip
            self.model = gr.Dropdown(
                [], label=t("Model or adapter"), allow_custom_value=True, elem_id=f"chat-model-{low}", scale=2,
                info=t("Adapters are chosen by name"),
            )  # fmt: skip
        self.chat = gr.Chatbot(
            label=f"{t('Chat')} {self.name}", elem_id=f"chat-{low}", height=420, editable="user",
            buttons=["copy", "copy_all"], allow_tags=True, feedback_options=None,
        )  # fmt: skip
        with gr.Row(visible=False) as self.asks:
            self.result = gr.Textbox(
                lines=2, max_lines=8, scale=4, elem_id=f"chat-result-{low}", label=t("Tool result"),
                placeholder=t("What the tool gave: text or JSON"),
            )  # fmt: skip
            self.give = gr.Button(t("Give the result"), elem_id=f"chat-give-{low}", min_width=120)


class ChatTab:
    """The chat: servers, settings, conversation."""

    def __init__(self, context: Context):
        self.context, self.t, self.store = context, context.t, context.store

    def build(self, tab: gr.Tab) -> None:
        """Draw the tab within the open block."""
        t = self.t
        with gr.Accordion(t("Load a model or checkpoint"), open=False), gr.Row():
            self.path = gr.Dropdown(
                [], label=t("Model or checkpoint"), allow_custom_value=True, elem_id="chat-path", scale=3
            )
            self.load = gr.Button(t("Load"), elem_id="chat-load")
        self.both = gr.Checkbox(False, label=t("Two models side by side"), elem_id="chat-both")
        sides = [Side(self, name) for name in SIDES]
        with gr.Row():
            for side in sides:
                with gr.Column(min_width=320, visible=side.name == "A") as side.column:  # type: ignore[attr-defined]
                    side.build()
        self.entry = gr.MultimodalTextbox(
            file_types=["image", "video", "audio"], file_count="multiple", stop_btn=False, label=t("Message"), lines=1,
            placeholder=t("Write a message, or add a picture, video or sound"), elem_id="chat-entry", show_label=False,
            sources=["upload", "microphone"],
        )  # fmt: skip
        with gr.Row():
            self.stop = gr.Button(t("Stop"), variant="stop", elem_id="chat-stop", interactive=False)
            self.clear = gr.Button(t("New conversation"), elem_id="chat-clear")
        self._settings()
        self._events(tab, sides)

    def _settings(self) -> None:
        t = self.t
        with gr.Accordion(t("Settings"), open=False):
            self.system = gr.Textbox(label=t("System text"), lines=2, elem_id="chat-system")
            with gr.Row():
                self.temperature = gr.Slider(
                    0, 2, value=0, step=0.05, label=t("Temperature"), elem_id="chat-temperature"
                )
                self.top_p = gr.Slider(0.05, 1, value=1, step=0.05, label="top_p")
                self.most = gr.Number(
                    256, precision=0, minimum=1, label=t("Longest answer in tokens"), elem_id="chat-most"
                )
            with gr.Row():
                self.thinking = gr.Dropdown([("", ""), "true", "false"], value="", label=t("Thinking"))
                self.key = gr.Textbox(type="password", label=t("Key of the server"), max_lines=1)
            gr.Markdown(t("Tools, a JSON list"), elem_classes="swift-info")
            self.tools = gr.Code(language="json", lines=3, max_lines=12, label=t("Tools"), elem_id="chat-tools")

    def _events(self, tab: gr.Tab, sides: list[Side]) -> None:
        one, two = sides
        choices = [self.path, one.server, two.server]
        tab.select(self._servers, [one.server, two.server], choices, **QUIET)
        for side in sides:
            side.server.change(self._models, [side.server, self.key], side.model, **QUIET)
        self.load.click(self._load, self.path, one.server, api_visibility="private")
        self.both.change(lambda both: gr.update(visible=both), self.both, two.column, **QUIET)  # type: ignore[attr-defined]
        wishes = [
            self.key, self.system, self.temperature, self.top_p, self.most, self.thinking, self.tools,
        ]  # fmt: skip
        asked = self.entry.submit(
            self._said,
            [self.entry, one.chat, two.chat, self.both, one.busy, two.busy],
            [self.entry, one.chat, two.chat, one.busy, two.busy, self.stop],
            **QUIET,
        )
        running = []
        for side, other in ((one, two), (two, one)):
            running += self._answers(side, other, asked, wishes)
        for button in (self.stop, self.clear):
            after = [one.chat, two.chat] if button is self.clear else []
            ended = [*after, one.busy, two.busy, self.stop]
            values = [*([] for _ in after), False, False, gr.update(interactive=False)]
            button.click(lambda values=values: tuple(values), None, ended, cancels=running, **QUIET).then(
                self._both_ask, [one.chat, two.chat], [one.asks, one.result, two.asks, two.result], **QUIET
            )

    def _answers(self, side: Side, other: Side, asked: Any, wishes: list[Any]) -> list[Any]:
        """The events of one chat in which a model answers."""
        inputs = [side.chat, side.server, side.model, self.both, gr.State(side.name), *wishes]
        began = [side.chat, side.busy, self.stop]
        edited = side.chat.edit(self._edited, side.chat, began, **QUIET)
        again = side.chat.retry(self._again, side.chat, began, **QUIET)
        given = side.give.click(self._given, [side.chat, side.result], [*began, side.result], **QUIET)
        undone = side.chat.undo(self._undone, side.chat, side.chat, **QUIET)
        answers = [event.then(self._answer, inputs, side.chat, **MANY) for event in (asked, edited, again, given)]
        for event in (*answers, undone):
            event.then(self._ended, [side.chat, other.busy], [side.busy, self.stop, side.asks, side.result], **QUIET)
        return answers

    def _servers(self, one: str | None, two: str | None) -> tuple[Any, Any, Any]:
        serving = self._serving()
        choices = [(f"{name}  ·  {url}", url) for name, url in serving]
        first = one or (serving[0][1] if serving else None)
        paths = [*pickers.checkpoints_here(self.store), *pickers.models(self.store)]
        return (
            gr.update(choices=paths),
            gr.update(choices=choices, value=first),
            gr.update(choices=choices, value=two or first),
        )

    def _serving(self) -> list[tuple[str, str]]:
        """(job, address) of every deployed model that answers."""
        jobs = [job for job in self.store.all() if job.record.job == "deploy" and job.state == "running"]
        pairs = [(job.name, log.address(job.folder / LOG)) for job in jobs]
        return [(name, url) for name, url in pairs if url]

    def _models(self, server: str | None, key: str) -> Any:
        if not server:
            return gr.update(choices=[], value=None)
        names = _shown(talk.models_at, server, key)
        return gr.update(choices=names, value=names[-1] if names else None)  # an adapter, where there is one

    def _load(self, path: str | None) -> Iterator[Any]:
        """Deploy a model on a free port and wait until it answers."""
        import time

        if not path:
            raise gr.Error(self.t("Choose a model or a checkpoint first."), print_exception=False)
        option = "ckpt_dir" if (Path(path) / "swift.lock.json").is_file() else "model"
        job = _shown(self.store.start, WrittenJob("deploy", {option: path, "port": 0}))
        while (now := self.store.find(job.name)).state in ("queued", "running"):
            url = log.address(now.folder / LOG)
            if url:
                yield gr.update(choices=[(f"{job.name}  ·  {url}", url)], value=url)
                return
            yield gr.skip()
            time.sleep(0.5)
        raise gr.Error(log.reason(now.folder / LOG) or now.state, duration=None, print_exception=False)

    def _said(self, entry: dict[str, Any], one: list[Any], two: list[Any], both: bool, *busy: bool) -> tuple[Any, ...]:
        """Take a message; not while an answer is on its way, which would overwrite it."""
        if any(busy):
            gr.Info(self.t("Wait for the answer, or press Stop."))
            return (gr.skip(),) * 6
        new = [{"role": "user", "content": {"path": file}} for file in entry.get("files", [])]
        new += [{"role": "user", "content": entry["text"]}] if entry.get("text") else []
        begun = bool(new)
        stop = gr.update(interactive=begun)
        return {"text": "", "files": []}, [*one, *new], [*two, *new] if both else two, begun, begun and both, stop

    def _answer(
        self, history: list[Any], server: str, model: str, both: bool, side: str, key: str, *wishes: Any
    ) -> Iterator[Any]:
        if (side == "B" and not both) or not talk.awaits_answer(history):
            yield gr.skip()
            return
        if not server or not model:
            gr.Warning(self.t("Choose a server and a model first."))
            yield gr.skip()
            return
        try:
            yield from talk.answers(server, key, history, talk.Wishes(model, *_wished(*wishes)), self.t)
        except SwiftError as error:  # a warning: what follows an error of Gradio's would not be done
            gr.Warning(str(error), duration=None)
            yield gr.skip()

    def _again(self, history: list[Any]) -> tuple[Any, ...]:
        return _until_user(history), True, gr.update(interactive=True)

    def _edited(self, history: list[Any], event: gr.EditData) -> tuple[Any, ...]:
        number = event.index if isinstance(event.index, int) else event.index[0]
        said = {"role": "user", "content": event.value}
        return [*history[:number], said], True, gr.update(interactive=True)

    def _given(self, history: list[Any], text: str) -> tuple[Any, ...]:
        """The history with the result of the first tool that has none."""
        calls = talk.unanswered(history)
        if not calls or not text.strip():
            raise gr.Error(self.t("Write the tool's result first."), print_exception=False)
        now = [*history, talk.result_of(calls[0], text, self.t)]
        answers = talk.awaits_answer(now)
        return now, answers, gr.update(interactive=answers), ""

    def _undone(self, history: list[Any]) -> list[Any]:
        return _until_user(history)[:-1]

    def _ended(self, history: list[Any], other: bool) -> tuple[Any, ...]:
        """Nothing is on its way any more in this chat; where the model has called a tool, the page asks for more."""
        return (False, gr.update(interactive=other), *self._asks(history))

    def _both_ask(self, one: list[Any], two: list[Any]) -> tuple[Any, ...]:
        return (*self._asks(one), *self._asks(two))

    def _asks(self, history: list[Any]) -> tuple[Any, Any]:
        """A box for what a tool gave, if one is called."""
        calls = talk.unanswered(history)
        label = f"{self.t('Result of')} {calls[0]['name']}" if calls else self.t("Tool result")
        return gr.update(visible=bool(calls)), gr.update(label=label)


def _until_user(history: list[Any]) -> list[Any]:
    """The history up to the user's last message."""
    last = max((n for n, message in enumerate(history) if message["role"] == "user"), default=-1)
    return history[: last + 1]


def _wished(
    system: str, temperature: float, top_p: float, most: float | None, thinking: str, tools: str
) -> tuple[Any, ...]:
    longest = int(most) if most else None
    return system or "", temperature, top_p, longest, tools or "", {"true": True, "false": False}.get(thinking)


def _shown(function: Any, *given: Any) -> Any:
    """What a function gives; its SwiftError is shown beside the page."""
    try:
        return function(*given)
    except SwiftError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from None

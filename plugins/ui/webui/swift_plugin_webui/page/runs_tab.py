"""All jobs with state and progress; of one the curves, the log, its files; stop, resume, delete, compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from swift_core import SwiftError
from swift_plugin_webui.jobs import curves, log
from swift_plugin_webui.jobs.keeper import ahead
from swift_plugin_webui.jobs.record import ENDED, LOG
from swift_plugin_webui.jobs.store import Job, shown, why
from swift_plugin_webui.page.context import QUIET, Context
from swift_plugin_webui.page.html import error_html, folder_html, links
from swift_plugin_webui.page.svg import panel
from swift_plugin_webui.safety.files import CURVES, below, offered

PLOTS = 6
"""Panels that are shown at most."""

EVERY = 2.0
"""Seconds between two looks."""


class RunsTab:
    """The list of jobs and the one that is picked. What was deleted meanwhile may still be named in a field."""

    def __init__(self, context: Context):
        self.context, self.t, self.store = context, context.t, context.store

    def build(self) -> None:
        """Draw the tab within the open block."""
        t = self.t
        heads = [t(word) for word in ("job", "state", "progress", "time left", "device", "started", "model")]
        self.table = gr.Dataframe(
            headers=heads, interactive=False, label=t("Jobs"), max_height=260, elem_id="runs-table"
        )
        with gr.Row():
            self.context.picked.render()
            self.beside = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label=t("Compare with"), elem_id="runs-beside"
            )
        self.error = gr.HTML(elem_id="runs-error")
        self.head = gr.Markdown(elem_id="runs-head")
        with gr.Row():
            self.stop = gr.Button(t("Stop"), variant="stop", elem_id="runs-stop")
            self.resume = gr.Button(t("Resume"), elem_id="runs-resume")
            self.delete = gr.Button(t("Delete"), elem_id="runs-delete")
            self.secret = gr.Textbox(label=t("Its secret, again"), type="password", visible=False, max_lines=1)
        with gr.Row():
            self.metrics = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label=t("Curves (the first ones, if none is chosen)")
            )
            self.smooth = gr.Slider(0, 0.95, value=0, step=0.05, label=t("Smoothing"))
        self.plots = gr.HTML(elem_id="runs-plots")
        self.log = gr.Textbox(label=t("Log"), lines=14, max_lines=24, interactive=False, elem_id="runs-log")
        self.files = gr.HTML(elem_id="runs-files")
        with gr.Accordion(t("Files"), open=False, elem_id="runs-folder"):
            self.folder = gr.HTML()
        self.seen = gr.State("")
        self._events()

    def _events(self) -> None:
        picked = self.context.picked
        asked = [picked, self.beside, self.metrics, self.smooth, self.seen]
        shown = [
            self.seen, self.table, picked, self.beside, self.error, self.head, self.stop, self.resume, self.delete,
            self.secret, self.metrics, self.plots, self.log, self.files, self.folder,
        ]  # fmt: skip
        timer = gr.Timer(EVERY)
        for event in (timer.tick, picked.change, self.beside.change, self.metrics.input, self.smooth.release):
            event(self.refresh, asked, shown, **QUIET)
        self.context.blocks.load(self.refresh, asked, shown, **QUIET)
        self.table.select(self._chosen, None, picked, **QUIET)
        self._button(self.stop, lambda name, _: self.store.stop(name), asked, shown)
        self._button(self.resume, self._resume, asked, shown)
        sure = self.t("Delete this job with its log and checkpoints?")
        self._button(self.delete, lambda name, _: self.store.delete(name), asked, shown, sure)

    def _button(
        self, button: gr.Button, act: Callable[[str, str], Any], asked: list[Any], shown: list[Any], sure: str = ""
    ) -> None:
        def pressed(name: str | None, secret: str, confirmed: Any) -> None:
            if not name or confirmed is False:
                return
            try:
                act(name, secret)
            except SwiftError as error:
                raise gr.Error(str(error), print_exception=False) from None

        answer = gr.State(True)
        script = f"(name, secret, sure) => [name, secret, {f'window.confirm({sure!r})' if sure else 'true'}]"
        hidden = gr.Checkbox(True, visible=False) if sure else answer
        button.click(
            pressed, [self.context.picked, self.secret, hidden], None, js=script if sure else None,
            api_visibility="private",
        ).then(self.refresh, asked, shown, show_progress="hidden", api_visibility="private")  # fmt: skip

    def _resume(self, name: str, secret: str) -> None:
        names = self.store.find(name).record.secrets
        self.store.resume(name, dict.fromkeys(names, secret) if secret else {})

    def _chosen(self, event: gr.SelectData) -> str:
        return str(event.row_value[0])

    def refresh(
        self, picked: str | None, beside: list[str], metrics: list[str], weight: float, seen: str
    ) -> tuple[Any, ...]:
        """Everything that the tab shows; nothing where it is as it was."""
        jobs = self.store.all()
        names = [job.name for job in jobs]
        picked = picked if picked in names else (names[0] if names else None)
        job = next((job for job in jobs if job.name == picked), None)
        others = [other for other in jobs if other.name in (beside or []) and other.name != picked]
        now = self._sign(jobs, [*([job] if job else []), *others], (picked, beside, metrics, weight))
        if now == seen:
            return (gr.skip(),) * 15
        table = [self._row(one) for one in jobs]
        choose = gr.update(choices=names, value=picked)
        others_of = gr.update(choices=[name for name in names if name != picked])
        return (now, table, choose, others_of, *self._one(job, others, metrics or [], weight))

    def _sign(self, jobs: list[Job], looked_at: list[Job], asked: tuple[Any, ...]) -> str:
        sizes = [(_size(job), _marks(job)) for job in jobs if job.state not in ENDED or job in looked_at]
        return repr(([(job.name, job.state) for job in jobs], sizes, asked))

    def _row(self, job: Job) -> list[str]:
        far = log.progress(job.folder / LOG)
        record = job.record
        return [
            job.name,
            self.t(job.state),
            f"{far.done}/{far.all}" if far else "",
            far.left if far and job.state == "running" else "",
            ", ".join(record.devices) or str(record.values.get("device", "auto")),
            time.strftime("%m-%d %H:%M", time.localtime(record.created)),
            str(record.values.get("model") or record.values.get("ckpt_dir") or ""),
        ]

    def _one(self, job: Job | None, others: list[Job], metrics: list[str], weight: float) -> tuple[Any, ...]:
        if job is None:
            off = [gr.update(interactive=False)] * 3
            return ("", self.t("No job yet."), *off, gr.update(visible=False), gr.skip(), "", "", "", "")
        series = {one.name: curves.series_in(_curve_file(one)) for one in [job, *others]}
        there = curves.panels(name for found in series.values() for name in found)
        buttons = [
            gr.update(
                interactive=job.state not in ENDED, value=self.t("Stop at once" if job.state == "stopping" else "Stop")
            ),
            gr.update(interactive=job.resumable),
            gr.update(interactive=job.state in ENDED),
        ]
        secret = gr.update(visible=bool(job.record.secrets) and job.resumable)
        text = "\n".join(log.tail(job.folder / LOG))
        drawn = self._drawn(series, there, [name for name in metrics if name in there] or [*there], weight)
        picks = gr.update(choices=[*there])
        told = (error_html(why(job)), self._headline(job), *buttons, secret, picks, drawn, text)
        return (*told, links(job, offered(job)), folder_html(job, below(job)))

    def _headline(self, job: Job) -> str:
        far, until = log.progress(job.folder / LOG), job.ended or time.time()
        spent = f"{(until - job.record.created) / 60:.1f} min"
        bar = f" — {far.done}/{far.all} ({far.share:.0%})" if far else ""
        left = f", {self.t('time left')} {far.left}" if far and far.left and job.state == "running" else ""
        code = f", {self.t('exit code')} {job.code}" if job.state == "failed" else ""
        address = log.address(job.folder / LOG) if job.record.job == "deploy" and job.state == "running" else ""
        before = ahead(job.folder, job.record) if job.state == "queued" else []
        behind = f"  \n{self.t('waits for')} {', '.join(before)}" if before else ""
        place = f"  \n{self.t('Folder')}: `{shown(job.output or job.folder)}`"
        serves = f"  \n{self.t('Serving on')} `{address}`" if address else ""
        return f"**{job.name}: {self.t(job.state)}**{bar}{left}{code} · {spent}{behind}{place}{serves}"

    def _drawn(
        self, series: dict[str, dict[str, curves.Points]], there: dict[str, list[str]], names: list[str], weight: float
    ) -> str:
        drawn = [panel(name, _lines(series, there[name], weight), self.t("step")) for name in names[:PLOTS]]
        return f'<div class="swift-plots">{"".join(drawn)}</div>'


def _lines(series: dict[str, dict[str, curves.Points]], metrics: list[str], weight: float) -> dict[str, curves.Points]:
    """Name in the legend → points; of several runs each name begins with the run's."""
    several = len(series) > 1
    return {
        f"{name} {metric}" if several else metric: curves.smoothed(found[metric], weight)
        for name, found in series.items()
        for metric in metrics
        if metric in found
    }


def _curve_file(job: Job) -> Any:
    return (job.output or job.folder) / CURVES


def _size(job: Job) -> int:
    file = job.folder / LOG
    return file.stat().st_size if file.exists() else 0


def _marks(job: Job) -> float:
    file = _curve_file(job)
    return file.stat().st_mtime if file.is_file() else 0.0

"""What somebody is filling in: a tab's job and its values, kept between visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.recipes import Recipe
from swift_core.job.recipes import given_of
from swift_plugin_webui.forms.fields import Field
from swift_plugin_webui.forms.shown import Form, form_of
from swift_plugin_webui.forms.written import COMMAND, WrittenJob, read_command, read_yaml
from swift_plugin_webui.jobs.store import Store

SETTINGS = "settings"
"""Where the last settings of each tab lie, in the folder of the jobs."""


@dataclass
class Draft:
    """One visitor's settings in one tab.

    raw: option → what the form holds. devices: GPUs by number; none: all. asked: words and group that are drawn.
    recipe: what it began with, if anything; base: the values of then. taken_over: how often all or some values came
    from elsewhere than their fields, so that what was typed before no longer counts.
    """

    tab: str
    job: str
    raw: dict[str, Any] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    asked: tuple[str, str] = ("", "")
    recipe: Recipe | None = None
    base: dict[str, Any] = field(default_factory=dict)
    taken_over: int = 0

    def form(self, catalogue: Catalogue | None = None) -> Form:
        """The form for what is chosen."""
        return form_of(self.job, self.raw, catalogue)

    def written(self, catalogue: Catalogue | None = None) -> WrittenJob:
        """The job as it would run. Raises SwiftError for values that are none."""
        written = self.form(catalogue).written(self.raw)
        written.devices = list(self.devices)
        return written

    def take(self, key: str, value: Any) -> None:
        """Note what was typed."""
        self.raw[key] = value

    def replace(self, written: WrittenJob, jobs: tuple[str, ...]) -> None:
        """Take over a job file. Raises SwiftError for one of a job that another tab runs."""
        if written.job not in jobs:
            raise SwiftError(f"This is a job file of swift {written.job}; this tab runs {', '.join(jobs)}.")
        self.job = written.job
        self.raw = form_of(self.job, written.values).filled(written)
        self.devices = list(written.devices)
        self.recipe = None
        self.taken_over += 1

    def begin(self, recipe: Recipe, jobs: tuple[str, ...], catalogue: Catalogue | None = None) -> None:
        """Take over a recipe in place of all values; the choice of devices stays.

        Raises SwiftError for one of a job that another tab runs.
        """
        values = {given.key: given.value for given in given_of(recipe)}
        self.replace(WrittenJob(recipe.job, values, devices=self.devices), jobs)
        self.recipe, self.base = recipe, self.written(catalogue).values

    def departs(self, values: dict[str, Any]) -> list[str]:
        """The options whose values are no longer those of the recipe."""
        return [key for key in {**self.base, **values} if self.base.get(key) != values.get(key)]

    def empty(self) -> None:
        """Forget all values, the recipe and the devices."""
        self.raw.clear()
        self.devices, self.recipe = [], None
        self.taken_over += 1

    def load(self, text: str, jobs: tuple[str, ...]) -> None:
        """Take over a job file or a command. Raises SwiftError where it is neither."""
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        is_command = bool(lines) and bool(COMMAND.match(lines[0]))
        self.replace(read_command(text) if is_command else read_yaml(text, self.job), jobs)

    def add(self, values: dict[str, Any]) -> None:
        """Take over the values of a preset."""
        self.raw.update(values)
        self.taken_over += 1

    def leave_out(self, before: Form, catalogue: Catalogue | None = None) -> list[str]:
        """Drop the values that the form had a field for and now has none; their names."""
        had, now = before.fields(), self.form(catalogue).fields()
        gone = [key for key in self.raw if key in had and key not in now]
        for key in gone:
            del self.raw[key]
        return gone


def changed(field: Field, raw: dict[str, Any]) -> bool:
    """Whether a field holds something else than its default."""
    try:
        return field.key in raw and field.is_changed(field.read(raw[field.key]))
    except SwiftError:
        return True


def remember(store: Store, draft: Draft, written: WrittenJob) -> None:
    """Keep the settings for the next visit; secrets are not among them."""
    folder = store.folder / SETTINGS
    folder.mkdir(exist_ok=True)
    (folder / f"{draft.tab}.yaml").write_text(written.as_yaml(), encoding="utf-8")


def remembered(store: Store, tab: str, jobs: tuple[str, ...]) -> Draft:
    """The settings of the last visit; a fresh draft where there are none that this version reads."""
    draft, file = Draft(tab, jobs[0]), store.folder / SETTINGS / f"{tab}.yaml"
    if file.is_file():
        try:
            draft.load(file.read_text(encoding="utf-8"), jobs)
        except (SwiftError, OSError):
            return Draft(tab, jobs[0])
    return draft

"""The form of a job: its own options, then those of each component it would use."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import match_field
from swift_core.job.specs import find_job
from swift_plugin_webui.forms.fields import Field, fields_of_owner
from swift_plugin_webui.forms.written import WrittenJob

FIRST = {
    "train": (
        "model", "dataset", "trainer", "tuner", "output_dir", "learning_rate", "num_train_epochs",
        "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "quantizer", "reward",
    ),
    "deploy": (
        "model", "ckpt_dir", "adapters", "port", "backend", "served_model_name", "max_new_tokens", "temperature",
    ),
    "eval": ("model", "ckpt_dir", "evaluator", "eval_dataset", "eval_limit", "eval_url", "max_batch_size"),
    "export": ("ckpt_dir", "model", "exporter", "quantizer", "output_dir", "dataset"),
    "sample": ("model", "ckpt_dir", "dataset", "reward", "num_return_sequences", "keep", "temperature", "output_file"),
    "infer": ("model", "ckpt_dir", "adapters", "dataset", "max_new_tokens", "temperature", "result_path"),
}  # fmt: skip
"""Group of jobs → the fields that matter first."""

GROUP = {"pt": "train", "sft": "train", "rlhf": "train", "merge-lora": "export"}
"""Jobs whose first fields are those of another."""

SPREADS = ("launcher", "parallel")
"""Kinds whose components spread a job over processes."""

SPREAD = "How a step is shared"
"""Title of the fields that say so."""

MOST_FOUND = 40
"""Fields that a search gives."""

NO_OPTIONS = ("model", "template", "bbox", "dataset")
"""Kinds whose components are facts, or take no options."""


@dataclass(frozen=True)
class Group:
    """Fields of one owner. title: `swift sft`, or `tuner lora`."""

    title: str
    fields: tuple[Field, ...]

    @property
    def spreads(self) -> bool:
        """Whether it belongs to a launcher or a parallel strategy."""
        return self.title.partition(" ")[0] in SPREADS


def is_spread(field: Field) -> bool:
    """Whether an option of a job or of an engine says how work is spread: `--launcher`, `--tensor_parallel_size`."""
    return field.kind in SPREADS or field.name.endswith("_parallel_size")


@dataclass(frozen=True)
class Form:
    """The form of a job with the components that are chosen in it. first: what matters first, in this order."""

    job: str
    groups: tuple[Group, ...]
    first: tuple[str, ...]

    def fields(self) -> dict[str, Field]:
        """Every field by its key."""
        return {field.key: field for group in self.groups for field in group.fields}

    def search(self, text: str, told: Callable[[Field], str] = lambda field: field.help) -> list[Group]:
        """The groups with the fields that a text fits, `MOST_FOUND` in all; empty ones left out.

        told: the help as it is shown.
        """
        found, left = list[Group](), MOST_FOUND
        for group in self.groups:
            fit = [field for field in group.fields if field.matches(text, told(field))][:left]
            found += [Group(group.title, tuple(fit))] if fit else []
            left -= len(fit)
        return found

    def spread(self) -> list[Field]:
        """The fields that say how many processes work, where, and how they share a step."""
        return [f for group in self.groups for f in group.fields if group.spreads or is_spread(f)]

    def rest(self, title: str) -> list[Field]:
        """The fields of a group that are neither among the first nor shown with the devices."""
        fields = [f for group in self.groups if group.title == title and not group.spreads for f in group.fields]
        return [field for field in fields if field.key not in self.first and not is_spread(field)]

    def parts(
        self,
        search: str = "",
        group: str = "",
        spreads: bool = False,
        told: Callable[[Field], str] = lambda field: field.help,
    ) -> list[Group]:
        """What is drawn: the fields that a search finds, or the first ones (without a title) and those of a group.

        spreads: with those that say how a step is shared, under the title `SPREAD`. No field stands there twice.
        """
        fields = self.fields()
        first = Group("", tuple(fields[key] for key in self.first if key in fields))
        parts = self.search(search, told) if search else [first, Group(group, tuple(self.rest(group)))]
        there = {field.key for part in parts for field in part.fields}
        parts += [Group(SPREAD, tuple(f for f in self.spread() if f.key not in there))] if spreads else []
        return [part for part in parts if part.fields]

    def written(self, raw: dict[str, Any]) -> WrittenJob:
        """What was filled in, as a job: values that differ from their defaults, secrets apart.

        Raises SwiftError for values that are no values of their fields, all together. Keys that no field has are kept:
        the job says what it thinks of them.
        """
        fields, values, secrets, mistakes = self.fields(), dict[str, Any](), dict[str, str](), list[str]()
        for key, said in raw.items():
            field = fields.get(key)
            try:
                value = said if field is None else field.read(said)
            except SwiftError as error:
                mistakes.append(str(error))
                continue
            if field is not None and field.sort == "secret":
                secrets |= {key: value} if value not in (None, "", field.default) else {}
            elif field is None or field.is_changed(value):
                values[key] = value
        if mistakes:
            raise SwiftError("\n".join(mistakes))
        return WrittenJob(self.job, values, secrets)

    def filled(self, written: WrittenJob) -> dict[str, Any]:
        """Keys of the form → values of a job that was read from a file; other names of an option are understood."""
        owner, fields = find_job(self.job).options_class(), self.fields()
        return {(key if key in fields else match_field(owner, key) or key): v for key, v in written.values.items()}


def form_of(job: str, chosen: dict[str, Any], catalogue: Catalogue | None = None) -> Form:
    """The form of a job. chosen: values by option, of which those that name components bring their options in.

    A component that is not there, or cannot be loaded, has no options; the job says why.
    """
    spec, catalogue = find_job(job), catalogue or Catalogue.installed()
    names = names_of(catalogue)
    own = fields_of_owner(spec.options_class(), f"swift {job}", spec.defaults, names)
    groups = [Group(f"swift {job}", tuple(own))]
    for kind, name in dict.fromkeys([*components_of(own, chosen), *_by_options(own, names)]):
        with contextlib.suppress(SwiftError):
            component = catalogue.find(kind, name).load()
            if isinstance(component, type):
                fields = fields_of_owner(component, f"{kind} {name}", {}, names)
                groups.append(Group(f"{kind} {name}", tuple(fields)))
    first = FIRST[GROUP.get(job, job)]
    return Form(job, tuple(_told_apart([g for g in groups if g.fields])), first)


def _by_options(own: list[Field], names: dict[str, list[str]]) -> list[tuple[str, str]]:
    """(kind, name) of the components that a job takes by their options alone: `--deepspeed zero2` names its own."""
    return [("parallel", name) for field in own if field.kind == "parallel" for name in names.get("parallel", ())]


def names_of(catalogue: Catalogue) -> dict[str, list[str]]:
    """Kind → the names of its components."""
    names: dict[str, list[str]] = {}
    for entry in catalogue.entries:
        names.setdefault(entry.kind, []).append(entry.name)
    return {kind: sorted({*found}) for kind, found in names.items()}


def components_of(own: list[Field], chosen: dict[str, Any]) -> list[tuple[str, str]]:
    """(kind, name) of the components that a job's own fields name, as chosen or by default."""
    pairs = []
    for field in own:
        if field.kind and field.kind not in NO_OPTIONS:
            value = chosen.get(field.key, field.default)
            words = value if isinstance(value, list) else str(value or "").split("\n")
            pairs += [(field.kind, str(word).partition("=")[2] or str(word)) for word in words if word]
    return list(dict.fromkeys(pairs))


def _told_apart(groups: list[Group]) -> list[Group]:
    """The same groups; a name that several owners have is written `component.name` in the components'."""
    count = Counter(field.key for group in groups for field in group.fields)
    own = {field.key for field in groups[0].fields}
    return [
        groups[0],
        *(
            Group(group.title, tuple(_named(field, group.title, count[field.key] > 1, own) for field in group.fields))
            for group in groups[1:]
        ),
    ]


def _named(field: Field, title: str, several: bool, own: set[str]) -> Field:
    if not several and field.key not in own:
        return field
    return dataclasses.replace(field, key=f"{title.partition(' ')[2]}.{field.key}")

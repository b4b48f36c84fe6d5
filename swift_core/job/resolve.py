"""Which components a job needs: what the user named, what the model's card says, and the defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from swift_core.catalogue.entries import Catalogue, Entry, ships_in
from swift_core.contract.components import Quantizer, declared
from swift_core.contract.errors import SwiftError, attempt
from swift_core.job.family_lookup import find_family, named_checkpoint, read_model_config
from swift_core.job.lockfile import options_in_lock, saved_tuners
from swift_core.job.options import fields_of
from swift_core.job.selected import Selected
from swift_core.job.specs import JobSpec
from swift_core.version import __version__

OWN = "own"
"""`--template own`: the checkpoint's own chat template, which no package brings."""

OWN_ENTRY = Entry(
    "template",
    OWN,
    "swift-core",
    __version__,
    "The checkpoint's own chat template.",
    "swift_core.templates.own:unsettled",
)


def _adapter_name(folder: str, number: int) -> str:
    return Path(folder).name.replace(".", "_") or f"adapter{number}"


class Selection(NamedTuple):
    """What a job selects.

    components: each loaded as class or instance, or with None where it cannot be. lacking: kinds of which one that the
    user named is not there. foreign: whether one of those ships in a package that is not installed.
    """

    components: list[Selected]
    lacking: set[str]
    foreign: bool


def select_components(
    spec: JobSpec,
    options: Any,
    sources: dict[str, str],
    catalogue: Catalogue,
    mistakes: list[str],
    wrong: Collection[str] = (),
) -> Selection:
    """Every component of the job; mistakes are collected, not raised.

    wrong: options whose value was wrong and is left out; what follows from their absence is no further mistake.
    """
    picker = _Picker(options, sources, catalogue, mistakes, wrong)
    attempt(mistakes, picker.family)
    for name, f in fields_of(type(options)).items():
        kind = f.metadata.get("kind")
        if kind and kind != "model":
            attempt(mistakes, picker.named, kind, name)
        if kind and name in wrong:
            picker.lacking.add(kind)
    picker.adapters()
    picker.data_readers()
    picker.short_forms()
    picker.labels()
    picker.load()
    return Selection(picker.selected, picker.lacking, picker.foreign)


class _Picker:
    def __init__(
        self,
        options: Any,
        sources: dict[str, str],
        catalogue: Catalogue,
        mistakes: list[str],
        wrong: Collection[str],
    ):
        self.options, self.sources, self.catalogue, self.mistakes = options, sources, catalogue, mistakes
        self.wrong, self.selected = wrong, list[Selected]()
        self.lacking, self.foreign = set[str](), False

    def family(self) -> None:
        """The model's family; its card fills template, bbox and patchers that the user left out."""
        if not self.options.model and self.options.model_type:
            self._named_checkpoint()
        if not self.options.model:
            if self.options.loader and not {"model", "model_type"} & {*self.wrong}:
                self.mistakes.append("Which model? Say --model with a hub id or a local folder.")
            return
        try:
            o = self.options
            family = find_family(self.catalogue, o.model, o.model_type, self._config_on_hub)
            card = family.entry.load()
        except (SwiftError, OSError):
            self.lacking.add("quantizer")  # the checkpoint may be of one
            raise
        self.selected.append(Selected(family.entry, family.entry.name, family.why, card))
        self._fill("model_type", family.entry.name, family.why)
        self._fill("template", family.template or card.template, "card")
        self._fill("bbox", card.bbox, "card")
        self._quantized()
        self.options.patcher = [*card.patchers, *self.options.patcher]

    def _config_on_hub(self, model: str) -> Path | None:
        """The folder with the config.json of a hub id, where the job's loader can fetch it; else None."""
        o = self.options
        fetch = getattr(self.catalogue.find("loader", o.loader).load(), "fetch_config", None) if o.loader else None
        return fetch(model, o.model_revision, o.use_hf) if fetch else None

    def _named_checkpoint(self) -> None:
        """The model that a --model_type of ms-swift 2 means, where no --model is said."""
        point = named_checkpoint(self.catalogue, self.options.model_type)
        if point:
            said = f"--model_type {self.options.model_type}"
            self.options.model, self.sources["model"] = point.id_on(self.options.use_hf), said
            self.options.model_type = None

    def _quantized(self) -> None:
        """The quantizer that reads the checkpoint's `quant_method`, where the user named none."""
        file = Path(self.options.model, "config.json")
        method = (read_model_config(file.parent).get("quantization_config") or {}).get("quant_method")
        if method and "quantizer" not in self.sources:
            names, faults = self._readers(method)
            if len(names) > 1:
                faults = [f"Several quantizers read {method}: {', '.join(names)}. Say --quantizer with one of them."]
            if len(names) == 1:
                self.options.quantizer, self.sources["quantizer"] = names[0], str(file)
            else:
                self.mistakes += faults

    def _readers(self, method: str) -> tuple[list[str], list[str]]:
        """(names of the quantizers that read checkpoints of a method, what is wrong with those that do not load)."""
        names, faults = list[str](), list[str]()
        for entry in self.catalogue.of_kind("quantizer"):
            try:
                names += [entry.name] * (method in declared(entry.load(), Quantizer, "reads"))
            except SwiftError as error:
                faults.append(str(error))
        return names, faults

    def _fill(self, name: str, value: str, why: str) -> None:
        if getattr(self.options, name) is None:
            setattr(self.options, name, value)
            self.sources[name] = why

    def named(self, kind: str, field_name: str) -> None:
        """Components that an option names; the agent format comes from the template if none is named."""
        value = getattr(self.options, field_name)
        if kind == "agent" and value is None:
            value = self._agent_of_template()
        if kind == "tuner" and self.options.adapters and field_name not in self.sources:
            value = []  # training goes on with the given adapters; a new one only if asked for
        for word in value if isinstance(value, list) else [value]:
            if word:
                self.add(kind, word, self.sources.get(field_name, "default"))

    def _agent_of_template(self) -> str | None:
        """The agent format that the template names, if it is installed: only rows with tools need one."""
        for item in self.selected:
            if item.kind == "template":
                agent = item.entry.load().agent
                installed = any(e.name == agent for e in self.catalogue.of_kind("agent"))
                self.options.agent = agent if installed else None
                self.sources["agent"] = f"template {item.label}"
        return self.options.agent

    def add(self, kind: str, word: str, why: str) -> None:
        """One component by name, `label=name` or `name@package`; twice the same is once."""
        label, equals, name = word.partition("=")
        try:
            own = (kind, word) == ("template", OWN)
            entry = OWN_ENTRY if own else self.catalogue.find(kind, name if equals else word)
        except SwiftError as error:
            self.mistakes.append(str(error))
            self.lacking.add(kind)
            self.foreign |= bool(ships_in(kind, (name if equals else word).partition("@")[0]))
            return
        label = label if equals else self._label(entry)
        if not any(c.kind == kind and c.entry == entry and c.label == label for c in self.selected):
            saved = attempt(self.mistakes, options_in_lock, entry, why)
            self.selected.append(Selected(entry, label, why, saved=saved or {}))

    def _label(self, entry: Entry) -> str:
        """A component is called by its name; a tuner `default`, since PEFT forbids adapters called `lora`."""
        if entry.kind != "tuner":
            return entry.name
        others = [c for c in self.selected if c.kind == "tuner" and c.entry != entry]
        return f"default{len(others) + 1}" if others else "default"

    def labels(self) -> None:
        """Two components of a kind with one label are a mistake, as is a label that cannot name a module."""
        for (kind, label), count in Counter((c.kind, c.label) for c in self.selected).items():
            if count > 1:
                self.mistakes.append(f"Two components of the kind {kind} are called {label!r}; name them apart.")
            if kind == "tuner" and ("." in label or not label):
                self.mistakes.append(f"A tuner cannot be called {label!r}: its name becomes a module's, so no dots.")

    def load(self) -> None:
        """Import every selected component, its requirements met."""
        for item in self.selected:
            if attempt(self.mistakes, self._load, item) is None:
                self.lacking.add(item.kind)

    def _load(self, item: Selected) -> bool:
        item.component = item.component or item.entry.load()
        item.entry.check_requirements(getattr(item.component, "requires", ()))
        return True

    def adapters(self) -> None:
        """The tuners that wrote each `--adapters` folder, with the options they had."""
        for number, word in enumerate(self.options.adapters):
            given, _, folder = word.rpartition("=")
            before = len(self.mistakes)
            attempt(self.mistakes, self._adapter, given or _adapter_name(folder, number), Path(folder))
            if len(self.mistakes) > before:
                self.lacking.add("tuner")

    def _adapter(self, name: str, folder: Path) -> None:
        if any(c.adapter == name for c in self.selected):
            raise SwiftError(f"Two adapters are called {name!r}; name them: --adapters one=FOLDER two=FOLDER.")
        if "." in name:
            raise SwiftError(f"An adapter cannot be called {name!r}: its name becomes a module's, so no dots.")
        for item in saved_tuners(self.catalogue, folder, name):
            item.adapter = name
            self.selected.append(item)

    def data_readers(self) -> None:
        """The component that reads each data source: by its hub, and by its id where one is published."""
        for word in self.options.data_words():
            source = attempt(self.mistakes, self.options.source_of, word)
            if source:
                self.add("dataset", source.hub, f"--dataset {word}")
            if source and source.card:
                self.add("dataset", source.card, f"--dataset {word}")

    def short_forms(self) -> None:
        """Components that a true option stands for, such as --merge_lora of an export."""
        for name, f in fields_of(type(self.options)).items():
            if f.metadata.get("selects") and getattr(self.options, name):
                kind, component = f.metadata["selects"]
                self.add(kind, component, f"--{name}")

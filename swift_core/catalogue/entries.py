"""What is installed, read from package metadata: nothing is imported until a job names it."""

from __future__ import annotations

import functools
import importlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from swift_core.catalogue import metadata_cache
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.kinds import KINDS, find_kind

if TYPE_CHECKING:
    from importlib import metadata

    from packaging.requirements import Requirement

SWIFT_API = 1
"""The contract's version. A component declares the one it was written for as `swift_api`."""

MANY = 40
"""More components of one kind than this are not named one by one in a message."""


@dataclass(frozen=True)
class Entry:
    """One installed component, as its entry point declares it.

    kind, name: what it is. package, version, summary: of the distribution that brings it.
    target: `module:attribute`, imported by `load`.
    """

    kind: str
    name: str
    package: str
    version: str
    summary: str
    target: str

    def load(self) -> Any:
        """Import the component: a class whose fields are its options, or a ready instance without any.

        Raises SwiftError where its module cannot be imported, or where it was written for another contract.
        """
        try:
            component = self._import()
        except Exception as error:  # whatever a third party's module raises must stay one line
            remedy = " ".join(unmet_requirements(self.package)) or f"Reinstall or remove the package {self.package}."
            raise SwiftError(
                f"{self.title} cannot be loaded: importing {self.target} failed with "
                f"{type(error).__name__}: {error}. {remedy}"
            ) from error
        if _SOUND.get(self) is not component:
            self._check_api(component)
            self._check_hooks(component)
            _SOUND[self] = component
        return component

    def _import(self) -> Any:
        module, _, attribute = self.target.partition(":")
        component: Any = importlib.import_module(module)
        return functools.reduce(getattr, filter(None, attribute.split(".")), component)

    def _check_api(self, component: Any) -> None:
        api = getattr(component, "swift_api", None)
        if self.kind != "command" and api != SWIFT_API:
            said = "declares no swift_api" if api is None else f"was written for plugin API {api}"
            raise SwiftError(
                f"{self.title} {said}, and this swift-core speaks API {SWIFT_API}. "
                f"Install a version of {self.package} made for it: pip install --upgrade {self.package}"
            )
        for name, wanted, offered, base in _other_apis(component):
            raise SwiftError(
                f"{self.title} was written for {name} {wanted}, and the installed {base} speaks {offered}. Install "
                f"versions made for each other: pip install --upgrade {self.package} {base.replace('_', '-')}"
            )

    def _check_hooks(self, component: Any) -> None:
        from swift_core.contract.signatures import broken_hooks

        for line in broken_hooks(component, self.kind):
            raise SwiftError(
                f"{self.title} {line} Mend the plugin, or install a version of {self.package} for this swift-core."
            )

    def check_requirements(self, more: Iterable[str] = ()) -> None:
        """Refuse a component that needs something that is not installed: its hooks would fail midway.

        more: what it needs beyond its package's own requirements, as a model's card says it.
        """
        needs = (*_requirements(self.package), *_parsed(more))
        missing = [_missing(self.package, need) for need in needs if not _is_there(need)]
        if missing:
            raise SwiftError(f"{self.title} cannot work: {' '.join(missing)}")

    @property
    def title(self) -> str:
        """`tuner 'lora' (swift-plugin-lora 0.1.0)`, for messages."""
        return f"{self.kind} {self.name!r} ({self.package} {self.version})"


@functools.lru_cache(maxsize=1)
def _remembered(text: str) -> tuple[tuple[Entry, ...], dict[str, dict[str, Any]]]:
    """The entries and the cards' facts that a text of `Catalogue.remember` holds; jobs of one process read the same."""
    remembered = json.loads(text)
    return tuple(Entry(*row) for row in remembered["entries"]), remembered["facts"]


_SOUND: dict[Entry, Any] = {}
"""Entry → the component that was found to keep the contract: jobs load the same ones again and again."""


def _other_apis(component: Any) -> Iterator[tuple[str, int, int, str]]:
    """(name, number declared, number inherited, package it comes from) of each API number of a base that differs.

    A distribution that others build on gives its base classes a number, `runtime_api = 1`; a component that inherits
    from them says for which one it was written.
    """
    owner = component if isinstance(component, type) else type(component)
    for name, wanted in vars(owner).items():
        if name.endswith("_api") and name != "swift_api":
            for base in owner.__mro__[1:]:
                offered = vars(base).get(name, wanted)
                if offered != wanted:
                    yield name, wanted, offered, base.__module__.partition(".")[0]
                    break


@dataclass
class Catalogue:
    """All installed components. `Catalogue.installed()` reads the environment."""

    entries: list[Entry] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cards that were remembered from an earlier run, as plain data, by the entry's target."""
    files: list[str] = field(default_factory=list)
    """The files that these facts stand in."""
    begun: int = 0
    """When the environment was read, in nanoseconds of the epoch; 0: made by hand, never remembered in its place."""

    @classmethod
    def installed(cls) -> Catalogue:
        """Every component of every distribution on the path, sorted by kind, name and package."""
        begun = time.time_ns()
        text, files = metadata_cache.read("installed")
        if text:
            entries, facts = _remembered(text)
            return cls(list(entries), facts, files, begun)
        catalogue = cls(_scan(), begun=begun)
        catalogue.remember({}, [])
        return catalogue

    def remember(self, facts: dict[str, dict[str, Any]], files: list[str]) -> None:
        """Keep the entries, and the cards' `facts` by target, for the next run; `files`: where the facts stand."""
        self.facts, self.files = facts, files
        if self.begun:
            content = {"entries": [[*vars(e).values()] for e in self.entries], "facts": facts}
            metadata_cache.write("installed", json.dumps(content, ensure_ascii=False), files, self.begun)

    def of_kind(self, kind: str) -> list[Entry]:
        """The entries of one kind, by its singular or plural name."""
        name = find_kind(kind).name
        return [e for e in self.entries if e.kind == name]

    def find(self, kind: str, name: str) -> Entry:
        """The entry `name`, or `name@package` where two packages offer one name.

        Raises SwiftError where no package offers the name, or two do.
        """
        wanted, _, package = name.partition("@")
        mine = self.of_kind(kind)
        same = [e for e in mine if _same(e.name, wanted) and package in ("", e.package)]
        entries = list({(e.package, e.target): e for e in same}.values())  # one may have two names that are alike
        if len(entries) > 1:
            choices = " or ".join(f"{e.name}@{e.package}" for e in entries)
            raise SwiftError(
                f"Two packages offer {kind} {wanted!r}: {', '.join(e.package for e in entries)}. Say {choices}."
            )
        if not entries:
            raise SwiftError(self._missing(kind, name, mine))
        return entries[0]

    def _missing(self, kind: str, name: str, mine: list[Entry]) -> str:
        text = f"There is no {kind} {name!r} installed."
        text += did_you_mean(name, [e.name for e in mine])
        text += "".join(f" There is one of the kind {other}: --{other} {name}." for other in self._other_kinds(name))
        dist = ships_in(kind, name)
        if dist:
            return f"{text} It ships in {dist}: pip install {dist}"
        if len(mine) > MANY:
            return f"{text} {len(mine)} are: swift list {find_kind(kind).folder}"
        return f"{text} Installed: {', '.join(sorted({e.name for e in mine})) or 'none'}."

    def _other_kinds(self, name: str) -> list[str]:
        """The kinds of which a component has this name; a family's is no hint, since other options name families."""
        return sorted({e.kind for e in self.entries if _same(e.name, name)} - {"model", "command"})

    def duplicates(self) -> list[tuple[Entry, Entry]]:
        """Pairs of entries from different packages that claim one name."""
        first: dict[tuple[str, str], Entry] = {}
        pairs = []
        for e in self.entries:
            other = first.setdefault((e.kind, e.name), e)
            if other is not e:
                pairs.append((other, e))
        return pairs

    def faults(self, kinds: Iterable[str] = KINDS) -> list[str]:
        """Everything that is wrong with what is installed, one line each. Imports every component."""
        lines = [
            f"{a.title} and {b.title} claim one name. Uninstall one, or choose with {b.name}@{b.package}."
            for a, b in self.duplicates()
        ]
        needs = functools.cache(unmet_requirements)  # a package may bring hundreds of components
        for entry in self.entries:
            if entry.kind in kinds:
                lines += _load_fault(entry) or needs(entry.package)
        return list(dict.fromkeys(lines))


def _scan() -> list[Entry]:
    """Every entry point of our groups in the metadata of every distribution."""
    from importlib import metadata

    groups = {k.group: k.name for k in KINDS.values()}
    seen: dict[tuple[str, str, str], Entry] = {}
    for dist in metadata.distributions():
        points = [ep for ep in dist.entry_points if ep.group in groups]
        facts: Any = dist.metadata if points else {}  # read from its file each time
        for ep in points:
            entry = _entry(groups[ep.group], ep, facts)
            seen.setdefault((entry.kind, entry.name, entry.package), entry)
    return [seen[k] for k in sorted(seen)]


def _load_fault(entry: Entry) -> list[str]:
    from swift_core.contract.declarations import strange_attributes

    try:
        component = entry.load()
    except SwiftError as error:
        return [str(error)]
    return [f"{entry.title} {line}" for line in strange_attributes(component, entry.kind)]


@functools.cache
def _requirements(package: str) -> tuple[Requirement, ...]:
    """What a distribution needs here; extras and other platforms left out."""
    from importlib import metadata

    return _parsed(metadata.requires(package) or ())


def _parsed(lines: Iterable[str]) -> tuple[Requirement, ...]:
    from packaging.requirements import Requirement

    needs = map(Requirement, lines)
    return tuple(n for n in needs if n.marker is None or n.marker.evaluate({"extra": ""}))


def unmet_requirements(package: str) -> list[str]:
    """One line for each requirement of a distribution that the environment does not meet."""
    needs = _requirements(package)
    missing = [_missing(package, need) for need in needs if not _is_there(need)]
    return missing + [line for need in needs if _is_there(need) for line in _other_version(package, need)]


def _is_there(need: Requirement) -> bool:
    from importlib import metadata

    try:
        metadata.distribution(need.name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _missing(package: str, need: Requirement) -> str:
    return f"{package} needs {need}, which is not installed: pip install '{need}'"


def _other_version(package: str, need: Requirement) -> list[str]:
    from importlib.metadata import version

    have = version(need.name)
    if need.specifier.contains(have, prereleases=True):
        return []
    return [f"{package} needs {need}, found {need.name} {have}: pip install '{need}'"]


def _entry(kind: str, ep: metadata.EntryPoint, facts: Any) -> Entry:
    return Entry(kind, ep.name, facts["Name"], facts["Version"], facts["Summary"] or "", ep.value)


def _same(one: str, other: str) -> bool:
    return one.replace("-", "_").lower() == other.replace("-", "_").lower()


def ships_in(kind: str, name: str) -> str | None:
    """The first-party distribution that ships a component, from the kernel's static index.

    kind: also checkpoint (an id on a hub), architecture and config_type, for the family that knows them.
    """
    for line in _known(kind).splitlines():
        row_kind, row_name, dist = line.split("\t")
        if row_kind == kind and _same(row_name, name):
            return dist
    return None


@functools.cache
def _known(kind: str) -> str:
    name = "known_models.tsv" if kind in ("checkpoint", "architecture", "config_type") else "known.tsv"
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def summary_of(component: Any) -> str:
    """The first line of a component's own docstring or `summary`, once it is loaded."""
    text = getattr(component, "summary", None) or (component.__doc__ or "")
    if isinstance(component, ModuleType) or not text:
        return ""
    return str(text).strip().split("\n", 1)[0]

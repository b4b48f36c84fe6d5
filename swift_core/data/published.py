"""Published data sets as data: one declaration each, which says where a data set is and what its columns hold."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.data.layout import Layout
from swift_core.data.transforms import TRANSFORMS

MODALITIES = ("text", "image", "video", "audio")
EVIDENCE = ("reader", "published", "assumed")
LAYOUT = tuple(f.name for f in dataclasses.fields(Layout) if f.name != "name")
"""Keys of a card that say what its columns hold."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """The card of one data set.

    name: how `--dataset` calls it; aliases: its other names, `NAME` or `NAME=SUBSET`. modelscope, huggingface: its id
    there; empty where it is not there, or is not known to be. subsets: the hub's names of its subsets, left out where
    it has none. splits: the hub's, the one that is read when nobody says first. variants: further names of a subset,
    each another reading of the rows: `subset`, `splits`, `example` and the keys of a layout; what else a variant does
    not say is as the card says. subset: the hub's name of the default subset. task: chat, pretraining, preference, …
    modality, language: of its rows; no language: not known. licence: as published; size: rows of all subsets and
    splits, `huge` where nobody counted so many; empty: not known. media: where its pictures, videos or sounds lie, if
    they are not in the rows. evidence: how the columns are known: `reader` (a published reader names them),
    `published` (its own page describes them) or `assumed` (a usual layout is expected). source: where the facts come
    from. note: what else a user must know.
    layout: what its columns hold; in a file its keys stand beside the others, see `Layout`. example: one row in its
    own columns. file: where it stands.
    """

    swift_api: ClassVar[int] = 1

    name: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    modelscope: str = ""
    huggingface: str = ""
    subsets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("train",)
    variants: dict[str, Published] = field(default_factory=dict)
    subset: str = ""
    task: str = ""
    modality: tuple[str, ...] = ("text",)
    language: tuple[str, ...] = ()
    licence: str = ""
    size: str = ""
    media: str = ""
    evidence: str = "assumed"
    source: str = ""
    note: str = ""
    layout: Layout = Layout()
    example: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    def id_on(self, hub: str) -> str:
        """Its id on a hub, `huggingface` or `modelscope`; empty where it is not there."""
        return self.huggingface if hub == "huggingface" else self.modelscope

    def hub(self, use_hf: bool) -> str:
        """The hub that it is read from: the one in use, or the other one where that does not have it."""
        first, other = ("huggingface", "modelscope") if use_hf else ("modelscope", "huggingface")
        return first if self.id_on(first) else other

    def names(self) -> list[str]:
        """What may stand behind `name:`."""
        return [*(self.subsets or ["default"] * (not self.variants)), *self.variants]

    def part(self, subset: str) -> Published:
        """The card of one subset, or of several joined by `+`; of all plain ones where nobody says which.

        `default` is always the hub's own default. Raises SwiftError where it has no such subset.
        """
        subset = subset or self.usual_subset()
        if subset in self.variants:
            return self.variants[subset]
        for one in subset.split("+"):
            if one not in ("default", *self.subsets):
                known = self.names()
                raise SwiftError(
                    f"The data set {self.name} has no subset {one!r}.{did_you_mean(one, known)} It has: "
                    f"{', '.join(known)}; several plain ones are joined by +."
                )
        return dataclasses.replace(self, subset=self.subset or "default" if subset == "default" else subset)

    def usual_subset(self) -> str:
        """What is read where nobody says a subset: `default`, else all plain ones, else the first variant."""
        if "default" in self.subsets or not (self.subsets or self.variants):
            return "default"
        return "+".join(self.subsets) or next(iter(self.variants))

    def subset_of(self, name: str) -> str:
        """The subset that one of its names stands for; empty where the name stands for the whole."""
        wanted = name.replace("-", "_").lower()
        pairs = (alias.partition("=") for alias in self.aliases)
        return next((subset for alias, _, subset in pairs if alias.replace("-", "_").lower() == wanted), "")

    def readings(self) -> Iterator[Published]:
        """Every way to read it: as its plain subsets are read, and as each variant."""
        if self.subsets or not self.variants:
            yield self
        yield from self.variants.values()


def read_published(text: str, name: str, file: str = "") -> Published:
    """A card from its TOML text; a SwiftError names the card and the wrong key."""
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SwiftError(f"data set {name!r}: not valid TOML: {error}") from None
    facts = {"name": name, "file": file, **facts}
    variants = facts.pop("variants", {})
    card = _card(facts, facts["name"])
    shared = {k: v for k, v in facts.items() if k not in (*LAYOUT, "subsets", "aliases")}
    made = {n: _variant(shared, n, own) for n, own in variants.items()}
    return dataclasses.replace(card, variants=made)


def _variant(shared: dict[str, Any], name: str, own: dict[str, Any]) -> Published:
    """Another reading of the rows: what it does not say itself is as the card says."""
    name = f"{shared['name']}:{name}"
    return _card(shared | {"subset": "default"} | own | {"name": name}, name)


def _card(facts: dict[str, Any], name: str) -> Published:
    known = {f.name: f.type for f in dataclasses.fields(Published)} | dict.fromkeys(LAYOUT, "")
    for key, value in facts.items():
        if key not in known or key in ("layout", "variants"):
            raise SwiftError(f"data set {name!r}: unknown key {key!r}.{did_you_mean(key, known)}")
        wanted = list if str(known[key]).startswith("tuple") else dict if key == "example" else type(value)
        if not isinstance(value, str if known[key] == "str" else wanted):
            raise SwiftError(f"data set {name!r}: {key} must not be {value!r}.")
    layout = Layout(**{k: facts[k] for k in LAYOUT if k in facts}, name=f"the card of {name}")
    rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items() if k not in LAYOUT}
    card = Published(**rest, layout=layout)
    mistake = _mistake(card)
    if mistake:
        raise SwiftError(f"data set {name!r}: {mistake}.")
    return card


def _mistake(card: Published) -> str:
    """The first thing that contradicts itself, or an empty text."""
    if not (card.modelscope or card.huggingface):
        return "it has neither an id on ModelScope nor one on Hugging Face"
    if not card.splits:
        return "splits must name at least one"
    for modality in card.modality:
        if modality not in MODALITIES:
            return f"modality {modality!r} is not {', '.join(MODALITIES)}"
    if card.evidence not in EVIDENCE:
        return f"evidence {card.evidence!r} is not {', '.join(EVIDENCE)}"
    if card.layout.transform and card.layout.transform not in TRANSFORMS:
        return f"transform {card.layout.transform!r} is not {', '.join(TRANSFORMS)}"
    patterns = [*card.layout.parse.values(), *card.layout.keep.values()]
    return next((m for p in (*patterns, *_patterns(card.layout)) if (m := _broken(p))), "")


def _patterns(layout: Layout) -> Iterator[str]:
    for pairs in layout.replace.values():
        yield from pairs[::2]


def _broken(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"{pattern!r} is no regular expression: {error}"
    return ""

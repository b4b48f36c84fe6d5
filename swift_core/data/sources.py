"""What a word of `--dataset` names: an entry of a `dataset_info.json`, a published data set, a file, or a hub id."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.catalogue.card_cache import published
from swift_core.catalogue.entries import Catalogue, Entry, ships_in
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.source import Source, Word, read_source, read_word
from swift_core.data.dataset_info import declared, read_entries
from swift_core.data.published import Published

HUBS = ("huggingface", "modelscope")


def source_of(word: str, options: Any) -> Source:
    """What a word of --dataset names. SwiftError where it names nothing, or what it names is not there."""
    said = read_word(word)
    entries = read_entries(options.dataset_info) if options.dataset_info else None
    source = None
    if not said.local and said.hub in ("", *HUBS) and not (entries and said.name in entries.named):
        source = _published(said, options.use_hf)
    if source is None and entries:
        source = declared(word, entries, options.use_hf)
    if source is None and not said.hub and not said.local and re.fullmatch(r"[\w.-]+", said.name):
        raise SwiftError(_unknown(said))
    return _placed(source or read_source(word, options.use_hf), options)


def find_card(name: str) -> Published | None:
    """The card of a published data set, by name or by its id on a hub; None where there is none."""
    catalogue = Catalogue.installed()
    plain = _plain(name)
    for entry, facts in published(catalogue):
        if plain == _plain(entry.name):
            return _loaded(catalogue.find("dataset", entry.name))  # an error where two packages offer the name
        if name.lower() in (facts["modelscope"].lower(), facts["huggingface"].lower()):
            return _loaded(entry)
    return None


def examples_of(source: Source) -> list[dict[str, Any]]:
    """The example of the card that describes a source, in its own columns. SwiftError where there is no card."""
    card = find_card(source.card) if source.card else None
    if card is None:
        raise SwiftError(f"{source.text}: no card describes it, so there is no example.")
    fits = (c for c in card.readings() if c.layout is source.layout or c.layout == source.layout)
    return [{**copy.deepcopy(next(fits, card).example), "_where": f"example of {card.name}"}]


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()


def _loaded(entry: Entry) -> Published | None:
    card = entry.load()
    return card if isinstance(card, Published) else None


def _published(said: Word, use_hf: bool) -> Source | None:
    """The published data set that a word names, by name, id or `name/split`; None where it names none."""
    card, split = find_card(said.name), said.split
    if card is None and said.name.count("/") == 1:
        name, _, split = said.name.partition("/")
        card = find_card(name)
        card = card if card and split in card.splits else None
    if card is None:
        return None
    hub = said.hub or card.hub(use_hf)
    if not card.id_on(hub):
        raise SwiftError(f"{said.text}: the card of {card.name} names no id on {hub}; leave {hub} away.")
    part = card.part(said.subset or card.subset_of(said.name.partition("/")[0]))
    if split not in part.splits and split in card.names():
        raise SwiftError(f"{said.text}: {split!r} is a subset. Several are joined by +: {said.subset}+{split}.")
    subset = part.subset or "default"
    return Source(card.id_on(hub), hub, subset, split or part.splits[0], said.count, said.text, part.layout, card.name)


def _placed(source: Source, options: Any) -> Source:
    """The source, read from the folder `--data_root` where that is given. SwiftError where it is not there."""
    if not options.data_root or source.hub not in HUBS or Path(source.id).is_dir():
        return source
    card = find_card(source.card) if source.card else None
    ids = [i for i in ((card.modelscope, card.huggingface) if card else (source.id,)) if i]
    places = (place for i in ids for place in _places(Path(options.data_root), i))
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        looked = ", ".join(str(Path(options.data_root, i)) for i in ids)
        raise SwiftError(
            f"The data set {source.text!r} is not in --data_root: looked for {looked}, and a Hugging Face cache "
            "there. Fetch it, or leave --data_root out to read it from the hub."
        )
    return dataclasses.replace(source, id=str(found))


def _places(root: Path, place: str) -> Iterator[Path]:
    """Where a data set may lie under a folder: `owner/name`, or in a cache of Hugging Face, the newest first."""
    yield root / place
    for hub in (root, root / "hub"):
        cached = hub / f"datasets--{place.replace('/', '--')}"
        newest = cached / "refs" / "main"
        if newest.is_file():
            yield cached / "snapshots" / newest.read_text(encoding="utf-8").strip()
        yield from sorted((cached / "snapshots").glob("*"))


def _unknown(said: Word) -> str:
    known = [entry.name for entry, _ in published(Catalogue.installed())]
    dist = ships_in("dataset", said.name)
    remedy = f" It ships in {dist}: pip install {dist}" if dist else did_you_mean(said.name, known)
    return (
        f"The data set {said.text[:300]!r} is neither an existing file, a hub id like owner/name:subset/split#count, "
        f"nor the name of a published data set.{remedy or ' swift list datasets --search WORD finds them.'}"
    )

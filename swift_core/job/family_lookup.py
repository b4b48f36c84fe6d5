"""From a model id or folder to its family: exact ids first, then what the folder says.

Of the families that share an architecture those remain whose `tells` hold and whose `named` words the folder
bears; of these one that is told apart by its name wins over one told apart by its fields, and that over the
plain one. Where several are left the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.catalogue.card_cache import cards_of
from swift_core.catalogue.entries import Catalogue, Entry, ships_in
from swift_core.contract.cards import Checkpoint, Family
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.job.checkpoint_names import checkpoint_called, family_of_template
from swift_core.job.gguf_header import gguf_config, gguf_of
from swift_core.job.lockfile import LOCK_FILE, read_json, read_lock


@dataclass(frozen=True)
class Found:
    """A family and the template of the checkpoint that led to it. why: how it was recognised."""

    entry: Entry
    template: str
    why: str


Cards = list[tuple[Entry, Family]]
Fetch = Callable[[str], Path | None]


def find_family(
    catalogue: Catalogue,
    model: str,
    model_type: str | None = None,
    fetch: Fetch | None = None,
) -> Found:
    """The family of a hub id or local folder; a SwiftError tells what was tried and what to say.

    fetch: gives the folder with the config.json of a hub id that no card lists; None: no hub is asked.
    """
    cards = cards_of(catalogue)
    if model_type:
        return _by_type(catalogue, cards, model, model_type)
    return (
        _by_id(cards, model)
        or _by_gguf(cards, model)
        or _by_folder(catalogue, cards, model)
        or _by_hub(cards, model, fetch)
        or _unknown(cards, model)
    )


def named_checkpoint(catalogue: Catalogue, model_type: str) -> Checkpoint | None:
    """The checkpoint that `--model_type` means, where it is the name of one and no family; see `names`."""
    if any(e.name == model_type for e in catalogue.of_kind("model")):
        return None
    named = checkpoint_called(cards_of(catalogue), model_type)
    return named[1] if named else None


def _by_type(catalogue: Catalogue, cards: Cards, model: str, model_type: str) -> Found:
    try:
        entry = catalogue.find("model", model_type)
    except SwiftError:
        if point := checkpoint_called(cards, model_type):
            return Found(point[0], point[1].template, f"--model_type {model_type}")
        if family := family_of_template(catalogue, cards, model_type):
            return Found(*family, f"--model_type {model_type}")
        raise
    return Found(entry, _template_for(catalogue, entry.load(), model), "--model_type")


def load_cards(catalogue: Catalogue) -> Cards:
    """All installed cards, imported; one that cannot be loaded is left out (`swift doctor` names it)."""
    cards = []
    for entry in catalogue.of_kind("model"):
        try:
            cards.append((entry, entry.load()))
        except SwiftError:
            continue
    return cards


# -- hub ids ----------------------------------------------------------------------------------------------
def _by_id(cards: Cards, model: str) -> Found | None:
    pairs = [(entry, point) for entry, card in cards if (point := card.find(model))]
    if len(pairs) > 1:
        _ask([entry for entry, _ in pairs], f"{model!r} is a checkpoint")
    return Found(pairs[0][0], pairs[0][1].template, f"checkpoint id {model}") if pairs else None


def _by_hub(cards: Cards, model: str, fetch: Fetch | None) -> Found | None:
    """What the config.json of a checkpoint on the hub says, where no card lists its id."""
    if fetch is None or ships_in("checkpoint", model):
        return None
    folder = fetch(model)
    if folder is None:
        return None
    config = read_model_config(folder)
    names = [re.split("[/:]", model)[-1], *names_of(folder, config)[1:]]
    entry, card, why = _by_config(cards, config, names, model)
    point = _of_name(card, names)
    return Found(entry, point.template if point else card.template, f"{why} on the hub")


def _unknown(cards: Cards, model: str) -> Found:
    dist = ships_in("checkpoint", model)
    if dist:
        raise SwiftError(f"The family of {model!r} is not installed. It ships in {dist}: pip install {dist}")
    ids = [p.modelscope or p.huggingface for _, c in cards for p in c.listed()]
    raise SwiftError(
        f"{model!r} is neither a local folder nor a checkpoint of an installed family."
        f"{did_you_mean(model, ids)} For another checkpoint of a known family say --model_type."
    )


def _by_gguf(cards: Cards, model: str) -> Found | None:
    """What the header of a GGUF file says."""
    file = gguf_of(model)
    if file is None:
        return None
    config = gguf_config(file)
    cards = [(e, c) for e, c in cards if c.task == "causal_lm"]  # a GGUF file names no head
    entry, card, _ = _by_config(cards, config, [file.stem, str(config["_name_or_path"])], model)
    return Found(entry, card.template, f"the header of {file.name}")


# -- folders ----------------------------------------------------------------------------------------------
def _by_folder(catalogue: Catalogue, cards: Cards, model: str) -> Found | None:
    folder = Path(model)
    if not folder.is_dir():
        return None
    lock = read_lock(folder)
    if lock.get("model_type"):
        return Found(catalogue.find("model", lock["model_type"]), lock.get("template") or "", LOCK_FILE)
    config = read_model_config(folder)
    if not config:
        raise SwiftError(f"The folder {model!r} holds no config.json; it is not a model checkpoint.")
    entry, card, why = _by_config(cards, config, names_of(folder, config), model)
    return Found(entry, _template_for(catalogue, card, model), why)


def read_model_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder; {} where it has none. SwiftError where a fact that we go by has another type."""
    file = folder / "config.json"
    config = read_json(file)
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise SwiftError(f"{file} is no model's configuration: architectures must be a list of names.")
    for key, kind in (("model_type", str), ("quantization_config", dict)):
        if not isinstance(config.get(key) or kind(), kind):
            raise SwiftError(f"{file} is no model's configuration: {key} is a {type(config[key]).__name__}.")
    return config


def _by_config(cards: Cards, config: dict[str, Any], names: list[str], model: str) -> tuple[Entry, Family, str]:
    shared = _sharing(cards, config)
    listed = [(e, c) for e, c in shared or cards if _of_name(c, names)]
    if len(listed) == 1:
        return *listed[0], f"the name of its checkpoint {names[0]}"
    if not shared:
        raise SwiftError(
            f"{model!r} has architectures {config.get('architectures') or []} and model type "
            f"{config.get('model_type', '')!r}, which no installed family knows. {_where_to_get(config)}"
        )
    fits = [(e, c) for e, c in shared if _fits(c, config, names)]
    best = max((_nearness(c, config) for _, c in fits), default=None)
    closest = [(e, c) for e, c in fits if _nearness(c, config) == best]
    if len(closest) != 1:
        _ask([e for e, _ in closest or shared], f"{model!r} may be a model")
    return *closest[0], "config.json"


def _where_to_get(config: dict[str, Any]) -> str:
    """The distribution of a family with this architecture or model type, or what else to do."""
    facts = [("architecture", a) for a in config.get("architectures") or ()]
    dists = [ships_in(kind, name) for kind, name in (*facts, ("config_type", config.get("model_type") or ""))]
    dist = next(filter(None, dists), None)
    return f"It ships in {dist}: pip install {dist}" if dist else "Install its plugin, or say --model_type."


def _ask(entries: list[Entry], what: str) -> None:
    names = sorted(e.name for e in entries)
    raise SwiftError(f"{what} of any of {', '.join(names)}. Say which: --model_type {names[0]}")


def _sharing(cards: Cards, config: dict[str, Any]) -> Cards:
    """Families with the folder's architecture, else those whose converted checkpoints have it, else those with its
    model type."""
    architectures, said = set(config.get("architectures") or ()), config.get("model_type")
    return (
        [(e, c) for e, c in cards if architectures & {*c.architectures}]
        or [(e, c) for e, c in cards if c.native and c.native in architectures]
        or [(e, c) for e, c in cards if said in c.config_types]
    )


def _fits(card: Family, config: dict[str, Any], names: list[str]) -> bool:
    if card.named and not any(f"-{word}-" in f"-{_plain(name)}-" for word in card.named for name in names):
        return False
    return all(_holds(config, path, wanted) for path, wanted in card.tells.items())


def _holds(config: Any, path: str, wanted: Any) -> bool:
    for key in path.split("."):
        if not isinstance(config, dict) or key not in config:
            return False
        config = config[key]
    return wanted is True or config in (wanted if isinstance(wanted, tuple | list) else (wanted,))


def _nearness(card: Family, config: dict[str, Any]) -> tuple[bool, bool, bool]:
    return bool(card.named), bool(card.tells), config.get("model_type") in card.config_types


def _of_name(card: Family, names: Iterable[str]) -> Checkpoint | None:
    """The listed checkpoint whose id ends in one of `names`, owner aside."""
    wanted = {n.lower() for n in names}
    points = [(p, i) for p in card.listed() for i in (p.modelscope, p.huggingface)]
    return next((p for p, i in points if i and re.split("[/:]", i)[-1].lower() in wanted), None)


def names_of(folder: Path, config: dict[str, Any]) -> list[str]:
    """What a checkpoint may be called: its folder's name, the hub caches' forms of it, the name in its config."""
    folder = folder.resolve()
    cached = [part.split("--")[-1] for part in folder.parts if part.startswith("models--")]
    own = cached[-1] if cached else folder.name.replace("___", ".")
    remembered = str(config.get("_name_or_path") or "").rstrip("/").split("/")[-1]
    return [name for name in (own, remembered) if name]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


# -- templates --------------------------------------------------------------------------------------------
def _template_for(catalogue: Catalogue, card: Family, model: str) -> str:
    """The checkpoint's own template where the card lists it, else the one whose tokens the tokenizer knows."""
    folder = Path(model)
    names = names_of(folder, read_model_config(folder)) if folder.is_dir() else []
    point = card.find(model) or _of_name(card, names)
    if point or len(card.checkpoints) < 2 or not folder.is_dir():
        return point.template if point else card.template
    return _by_tokens(catalogue, card, _tokenizer_text(folder))


def _by_tokens(catalogue: Catalogue, card: Family, text: str) -> str:
    """The template with the most special tokens that all stand in the tokenizer's files; the first of several."""
    best, most = card.template, 0
    for name in card.checkpoints:
        tokens = _special_tokens(catalogue, name)
        if len(tokens) > most and all(t in text for t in tokens):
            best, most = name, len(tokens)
    return best


def _special_tokens(catalogue: Catalogue, name: str) -> set[str]:
    try:
        template = catalogue.find("template", name).load()
    except SwiftError:
        return set()  # a template that is not there is reported when the job chooses it
    texts = (template.system, template.user, template.assistant, template.end)
    return {token for text in texts for token in re.findall(r"<[|｜][^<>\s]+[|｜]>|<[a-z]+_of_[a-z]+>", text)}


def _tokenizer_text(folder: Path) -> str:
    """The tokenizer's configuration and the head of tokenizer.json, where added tokens stand."""
    text = ""
    for name, size in (("tokenizer_config.json", -1), ("tokenizer.json", 400_000)):
        if (folder / name).is_file():
            with (folder / name).open(encoding="utf-8", errors="replace") as stream:
                text += stream.read(size)
    return text.replace("\\uff5c", "｜")

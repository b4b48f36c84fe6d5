"""Every family's card: its ids lead to it on both hubs, and so does a folder with nothing but a config.json."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from swift_testing.conformance import LEVELS
from swift_testing.contracts_model import folder_of

from swift_core.catalogue.card_cache import cards_of
from swift_core.catalogue.conformance import recorded
from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.cli.listing import list_rows, show_facts
from swift_core.contract.cards import Family
from swift_core.contract.errors import SwiftError
from swift_core.job.family_lookup import Found, find_family

CATALOGUE = Catalogue.installed()
CARDS: list[tuple[Entry, Family]] = [(e, c) for e, c in cards_of(CATALOGUE) if e.package.startswith("swift-plugin-")]


def test_there_are_families_and_checkpoints_enough() -> None:
    assert len(CARDS) >= 237
    assert sum(len(card.listed()) for _, card in CARDS) >= 1193


def test_every_id_leads_to_its_family_and_template_on_both_hubs() -> None:
    checked = 0
    for entry, card in CARDS:
        for point in card.listed():
            for name in {point.modelscope, point.huggingface} - {""}:
                found = find_family(CATALOGUE, name)
                assert (found.entry, found.template) == (entry, point.template), name
                assert point.id_on(use_hf=name == point.huggingface) == name or point.modelscope == name
                checked += 1
    assert checked >= 1193


def test_ids_are_found_in_any_case() -> None:
    entry, card = next((e, c) for e, c in CARDS if c.name == "qwen2_vl")
    assert find_family(CATALOGUE, card.listed()[0].modelscope.upper()).entry == entry


def _found(card: Family, folder: Path) -> Found | str:
    """What a folder leads to: a family, or the question that is asked."""
    try:
        return find_family(CATALOGUE, str(folder))
    except SwiftError as error:
        return str(error)


SHAPED = [(entry, card) for entry, card in CARDS if card.architectures]


def test_every_config_leads_to_its_family_or_to_a_question_that_names_it(tmp_path: Path) -> None:
    asked = 0
    for entry, card in SHAPED:
        for architecture in card.architectures:
            found = _found(card, folder_of(card, tmp_path / card.name / architecture, architecture))
            if isinstance(found, str):
                asked += 1
                assert re.search(rf"\b{card.name}\b", found), found
                assert "--model_type" in found
            else:
                assert found.entry == entry, f"{architecture} of {card.name} leads to {found.entry.name}"
    assert asked < len(SHAPED) / 4  # facts decide nearly always


def _shared() -> dict[str, set[str]]:
    """Architecture → the families that have it, where they are several."""
    owners: dict[str, set[str]] = {}
    for _, card in CARDS:
        for architecture in card.architectures:
            owners.setdefault(architecture, set()).add(card.name)
    return {a: names for a, names in owners.items() if len(names) > 1}


def test_a_bare_architecture_that_several_share_leads_to_one_of_them_or_lists_them(tmp_path: Path) -> None:
    """A config.json without any other fact: nothing but the architecture speaks."""
    shared = _shared()
    assert len(shared) >= 33
    for architecture, names in shared.items():
        bare = folder_of(Family(name="bare"), tmp_path / architecture, architecture)
        found = _found(Family(name="bare"), bare)
        if isinstance(found, str):
            listed = set(re.findall(r"\w+", found.partition(" of any of ")[2].partition(". ")[0]))
            assert listed <= names and len(listed) > 1, f"{architecture}: {found}"
        else:
            assert found.entry.name in names


def test_an_unknown_architecture_is_refused_with_advice(tmp_path: Path) -> None:
    folder = folder_of(Family(name="bare"), tmp_path, "NobodyKnowsForCausalLM")
    with pytest.raises(SwiftError, match=r"NobodyKnowsForCausalLM.*--model_type"):
        find_family(CATALOGUE, str(folder))


# -- the recorded levels ------------------------------------------------------------------------------------
def test_every_family_has_a_recorded_level_with_versions_and_date() -> None:
    results = recorded()
    for _, card in CARDS:
        result = results[card.name]
        assert result["level"] in LEVELS
        assert set(result["versions"]) >= {"torch", "transformers", "peft"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", result["date"])


def test_a_family_below_its_aim_says_why() -> None:
    """The aim: the media level for what sees or hears, the model level for text."""
    for _, card in CARDS:
        result = recorded()[card.name]
        aim = "model" if set(card.modality) == {"text"} else "media"
        assert result["level"] in (aim, "weights") or result["reason"], card.name


def test_the_levels_are_as_high_as_promised() -> None:
    results = recorded().values()
    above = [r for r in results if r["level"] in ("model", "media", "weights")]
    passed = {m: sum(r["media"].get(m) == "passed" for r in results) for m in ("image", "video", "audio")}
    assert len(above) >= 116
    assert passed["image"] >= 32 and passed["video"] >= 13 and passed["audio"] >= 3


def test_lists_and_pages_of_families_take_the_level_from_the_results() -> None:
    levels = {r["name"]: r["level"] for r in list_rows(CATALOGUE, "model")}
    assert levels["qwen2_vl"] == recorded()["qwen2_vl"]["level"] == "media"
    shown = show_facts(CATALOGUE, "model", "qwen2_vl")
    assert shown["level"] == "media"
    assert shown["proof"]["media"] == {"image": "passed", "video": "passed"}
    assert shown["proof"]["versions"]["transformers"]

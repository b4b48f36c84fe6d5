"""Contracts of what makes a model: families, loaders, patchers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from swift_core.contract.cards import Family
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.job.family_lookup import find_family, load_cards
from swift_core.job.lockfile import read_json
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model
from swift_testing.contracts import CHAT, ComponentContract, catalogue, tiny_model

MODALITIES = ("text", "image", "video", "audio")


class ModelContract(ComponentContract):
    """A family's card: its facts are valid, and a model of it is recognised."""

    kind = "model"

    @property
    def card(self) -> Family:
        """The card under test."""
        return self.component

    def choice(self) -> dict[str, Any]:
        """The family is said outright."""
        return {"model_type": self.name.partition("@")[0]}

    def test_is_a_card_of_its_name(self) -> None:
        """`--model_type` and the card speak of the same family."""
        card = self.component
        assert isinstance(card, Family), f"{self.entry.target} must be a swift_core.models.Family, found {card!r}."
        assert card.name == self.entry.name, f"The card is called {card.name!r}, its entry point {self.entry.name!r}."

    def test_reads_known_modalities(self) -> None:
        """What it reads, and where the towers for it sit."""
        card = self.card
        strange = set(card.modality) - set(MODALITIES)
        assert not strange, f"modality holds {strange}; known are {MODALITIES}."
        assert card.modules.language_model, "modules.language_model says where the language model's layers sit."
        if {"image", "video"} & set(card.modality):
            assert card.modules.vision_tower, "modules.vision_tower says which layers --freeze_vit keeps as they are."

    def test_checkpoints_are_ids_listed_once(self) -> None:
        """Each line is `owner/name`, or `modelscope-id = huggingface-id`."""
        ids = [(p.modelscope, p.huggingface) for p in self.card.listed()]
        for one in {i for pair in ids for i in pair if i}:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", one), f"{one!r} is no hub id: owner/name."
        twice = {i for i in ids if ids.count(i) > 1}
        assert not twice, f"Listed twice: {sorted(twice)}."

    def test_no_other_family_claims_its_checkpoints(self) -> None:
        """An id leads to one family."""
        mine = {i.lower() for p in self.card.listed() for i in (p.modelscope, p.huggingface) if i}
        for entry, card in load_cards(catalogue()):
            theirs = {i.lower() for p in card.listed() for i in (p.modelscope, p.huggingface)}
            assert card is self.card or not mine & theirs, f"{entry.title} lists {sorted(mine & theirs)} too."

    def test_names_components_that_exist(self) -> None:
        """Templates, box converter and patchers of the card can be had."""
        card = self.card
        named = [("template", t) for t in card.checkpoints] + [("patcher", p) for p in card.patchers]
        for kind, name in [*named, ("bbox", card.bbox)]:
            catalogue().find(kind, name)

    def test_is_recognised_from_config_json(self, tmp_path: Path) -> None:
        """A folder with nothing but a config.json that says the card's facts leads here, or to a question that
        names this family."""
        card = self.card
        if not (card.architectures or card.config_types):
            return  # known by its checkpoint ids alone
        for architecture in card.architectures or ("",):
            folder = folder_of(card, tmp_path / (architecture or "any"), architecture)
            names = _recognised(folder)
            assert card.name in names, f"{read_json(folder / 'config.json')} leads to {', '.join(sorted(names))}."

    def test_architectures_are_in_transformers(self) -> None:
        """A family without code of its own needs classes that transformers has."""
        if self.card.remote_code or not self.card.architectures:
            return
        import transformers

        lacking = [a for a in self.card.architectures if not hasattr(transformers, self.card.native or a)]
        assert not lacking, f"transformers has no {lacking}; is this remote_code, or is there a `native` class?"


def _recognised(folder: Path) -> set[str]:
    """The family that a folder leads to; where several may be meant, the words of the question that names them."""
    try:
        return {find_family(catalogue(), str(folder)).entry.name}
    except SwiftError as error:
        return set(re.findall(r"\w+", str(error)))


def folder_of(card: Family, place: Path, architecture: str = "") -> Path:
    """A folder below `place` that holds only a config.json with what the card says of its checkpoints."""
    config: dict[str, Any] = {"architectures": [architecture], "model_type": next(iter(card.config_types), "")}
    for path, wanted in card.tells.items():
        *outer, last = path.split(".")
        inner = config
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = wanted[0] if isinstance(wanted, tuple | list) else 1 if wanted is True else wanted
    folder = place / f"checkpoint-{card.named[0] if card.named else 'any'}-1b"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def open_checkpoint(folder: str, **options: Any) -> tuple[Job, Any, Any]:
    """(job, model, processor) of a saved checkpoint, as `--ckpt_dir` opens it."""
    values = {"ckpt_dir": folder, "device": "cpu", **options}
    job = prepare("export", [Given(k, v, "test") for k, v in values.items()])
    model, processor = load_model(job)
    return job, load_adapters(job, model), processor


def logits_of(model: Any, seed: int = 0) -> Any:
    """Logits [2, 12, vocabulary] of fixed random ids, as float32 on the CPU."""
    import torch

    size = model.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, size, (2, 12), generator=torch.Generator().manual_seed(seed))
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids.to(model.device), use_cache=False).logits.float().cpu()


class LoaderContract(ComponentContract):
    """A loader: finds a checkpoint, opens it, and writes what it can open again."""

    kind = "loader"

    def test_opens_what_it_wrote(self, tmp_path: Path) -> None:
        """Load, save, load again: the same logits, and the same text tokenized alike."""
        job = self.job(model=tiny_model("qwen2"))
        model, processor = load_model(job)
        assert not model.training, "load_model returns a model in eval mode."
        folder = str(tmp_path / "saved")
        assert job.hook.save_model(job=job, model=model, processor=processor, folder=folder), "save_model returns True."
        again, tokenizer = load_model(self.job(model=folder))
        assert logits_of(again).equal(logits_of(model)), "The model that was saved gives other logits."
        assert tokenizer("What is 1 + 2?") == processor("What is 1 + 2?")

    def test_obeys_the_precision(self) -> None:
        """--torch_dtype decides the dtype of the weights."""
        model, _ = load_model(self.job(model=tiny_model("qwen2"), torch_dtype="bfloat16"))
        assert str(next(model.parameters()).dtype) == "torch.bfloat16"

    def test_encodes_conversations(self) -> None:
        """Rows become ids and labels through the job's template; its own text comes back from `decode`."""
        from swift_core.data.convert import to_row

        job = self.job(model=tiny_model("qwen2"))
        _, processor = load_model(job)
        row = job.hook.encode(job=job, rows=[to_row(dict(CHAT[1]))], processor=processor, generation=False)[0]
        trained = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
        assert job.hook.decode(job=job, ids=trained, processor=processor) == "The answer is 3."

    def test_a_folder_without_a_model_is_an_error(self, tmp_path: Path) -> None:
        """The user hears what is wrong, without a traceback."""
        (tmp_path / "config.json").write_text("{}", encoding="utf-8")
        job = self.job(model=str(tmp_path), model_type="qwen2")
        with pytest.raises(SwiftError):
            load_model(job)


class PatcherContract(ComponentContract):
    """A patcher: the model still answers and still learns."""

    kind = "patcher"

    @pytest.mark.parametrize("family", ["qwen2", "llama"])
    def test_the_patched_model_runs_and_trains(self, family: str) -> None:
        """Logits are finite and every trained parameter that had a gradient has one still."""
        plain = _gradients(load_model(self._unpatched(family))[0])
        model = load_model(self.job(model=tiny_model(family)))[0]
        assert logits_of(model).isfinite().all(), "The patched model's logits are not finite."
        lost = set(plain) - set(_gradients(model))
        assert not lost, f"Without gradient since the patch: {sorted(lost)[:3]}."

    def _unpatched(self, family: str) -> Job:
        return self.job(model=tiny_model(family), patcher=[])


def _gradients(model: Any) -> dict[str, Any]:
    """Parameter name → gradient of one training step on fixed ids."""
    model.train()
    ids = logits_of(model).argmax(-1).to(model.device)
    model.train()
    model.zero_grad()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return {n: p.grad.float().clone() for n, p in model.named_parameters() if p.grad is not None}

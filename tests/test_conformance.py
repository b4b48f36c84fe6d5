"""What would make a false pass of the conformance levels is caught: one trap for each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_plugin_runtime.batching import collate
from swift_testing.conformance import __main__ as command
from swift_testing.conformance import media, mixed_ranks, models, runner, tiny_family
from swift_testing.conformance.media import Bench
from swift_testing.conformance.models import Failed
from swift_testing.conformance.processors import make_processor

from swift_core.catalogue.entries import Catalogue

CATALOGUE = Catalogue.installed()


def make_bench(name: str, place: Path, modality: str = "image") -> Bench:
    """A family's tiny model and processor, as the level `media` has them."""
    card = CATALOGUE.find("model", name).load()
    processor, changes = make_processor(card)
    job = media.train_job(card, tiny_family.write_checkpoint(card, place / "model", processor, **changes), str(place))
    model, loaded = media.load(job)
    single, most = bool(job.one("template").single), 1 if name == "paligemma" else 2
    return Bench(card, job, model, loaded, True, modality, single, most)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench("qwen2_vl", tmp_path_factory.mktemp("qwen"))


def spoilt(bench: Bench, change: Any) -> Any:
    """The bench, with every encoded row changed in place."""

    def encode(*rows: Any, generation: bool = False) -> list[dict[str, Any]]:
        items = bench.encode(*rows, generation=generation)
        for item in items:
            change(item)
        return items

    # a frozen dataclass keeps its methods: a namespace takes its place
    own = {name: getattr(bench, name) for name in ("card", "job", "model", "processor", "writes", "modality")}
    own |= {name: getattr(bench, name) for name in ("single", "most", "tokenizer", "batch", "logits")}
    return SimpleNamespace(**own, encode=encode)


def test_an_honest_family_passes_every_check(qwen: Bench) -> None:
    assert media.check_modality(qwen) == "passed"


# -- what is shown must matter ----------------------------------------------------------------------------------
def test_a_processor_that_ignores_the_picture_fails(qwen: Bench) -> None:
    def blank(item: dict[str, Any]) -> None:
        item["pixel_values"] = torch.zeros_like(item["pixel_values"])

    with pytest.raises(Failed, match="answers alike whatever the image shows"):
        media.check_sight(spoilt(qwen, blank))


def test_a_bridge_that_starts_at_zero_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 3's projection is all zeros until it is loaded: without a stir, any picture would do."""
    monkeypatch.setattr(tiny_family, "stir", lambda model: None)
    bench = make_bench("gemma3_vision", tmp_path)
    assert not bench.model.model.multi_modal_projector.mm_input_projection_weight.any()
    with pytest.raises(Failed, match="answers alike whatever the image shows"):
        media.check_sight(bench)


def test_pictures_that_change_places_fail(qwen: Bench) -> None:
    def exchange(item: dict[str, Any]) -> None:
        if len(item["image_grid_thw"]) == 2:
            item["pixel_values"] = torch.cat(list(item["pixel_values"].chunk(2))[::-1])

    with pytest.raises(Failed, match="the first medium acts from token"):
        media.check_order(spoilt(qwen, exchange))


def test_a_row_that_is_cut_through_a_picture_fails(qwen: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swift_plugin_runtime.encoding.datasets.fit", lambda item, limit, *_: {**item, "input_ids": []})
    with pytest.raises(Failed, match="cuts a row with media"):
        media.check_truncation(qwen)


def test_a_tower_without_gradient_fails(qwen: Bench) -> None:
    def detached(module: Any, inputs: Any, output: Any) -> Any:
        output.pooler_output = output.pooler_output.detach()
        return output

    hook = qwen.model.model.visual.register_forward_hook(detached)
    try:
        with pytest.raises(Failed, match="no gradient reaches the tower"):
            media.check_gradients(qwen)
    finally:
        hook.remove()


# -- labels and loss --------------------------------------------------------------------------------------------
def test_labels_on_the_question_fail(qwen: Bench) -> None:
    with pytest.raises(Failed, match="trained is"):
        media.check_labels(spoilt(qwen, lambda item: item.update(labels=list(item["input_ids"]))))


def test_labels_of_other_tokens_fail(qwen: Bench) -> None:
    def shifted(item: dict[str, Any]) -> None:
        item["labels"] = [*item["labels"][1:], -100]

    with pytest.raises(Failed, match="labels are not the ids at their places"):
        media.check_labels(spoilt(qwen, shifted))


def test_a_loss_that_is_not_shifted_fails(qwen: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unshifted(model: Any, inputs: Any, labels: Any) -> Any:
        outputs = model(**inputs)
        kept = labels != -100
        return torch.nn.functional.cross_entropy(outputs.logits[kept], labels[kept], reduction="none"), outputs

    monkeypatch.setattr(qwen.job.one("trainer"), "fused_loss", "off")
    monkeypatch.setattr("swift_plugin_runtime.training.trainer.token_losses", unshifted)
    with pytest.raises(Failed, match=r"the trainer's is .*, the cross-entropy of the labels"):
        media.check_loss(qwen)


def test_an_answer_that_sees_its_end_fails(tmp_path: Path) -> None:
    """PaliGemma reads in both directions what is marked as prompt; an answer marked so would be copied, not learnt."""
    bench = make_bench("paligemma", tmp_path)
    media.check_causal(bench)
    marked = spoilt(bench, lambda item: item.update(token_type_ids=[0] * len(item["input_ids"])))
    with pytest.raises(Failed, match="the last token changes the logits of earlier ones"):
        media.check_causal(marked)


def test_a_batch_that_hands_pictures_to_the_wrong_rows_fails(qwen: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def reversed_order(key: str, values: list[Any], rows: Any) -> Any:
        return join(key, values[::-1], rows) if key == "pixel_values" else join(key, values, rows)

    join = collate.join_media
    monkeypatch.setattr(collate, "join_media", reversed_order)
    with pytest.raises(Failed, match="row 2 of a mixed batch has other logits than alone"):
        media.check_mixed(qwen)


# -- weights ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, Path]:
    """(card, folder, place) of a tiny Qwen2."""
    place = tmp_path_factory.mktemp("text")
    card = CATALOGUE.find("model", "qwen2").load()
    return card, tiny_family.write_checkpoint(card, place / "model"), place


def test_a_reload_that_lacks_weights_fails(text: Any, tmp_path: Path) -> None:
    card, folder, _ = text
    for file in Path(folder).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.0.self_attn.q_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Failed, match="reload"):
        models.load(models.train_job(card, str(tmp_path), str(tmp_path / "out")))


def test_an_adapter_on_a_frozen_tower_fails(qwen: Bench) -> None:
    qwen.model.requires_grad_(False)
    qwen.model.lm_head.requires_grad_(True)
    models.check_trained_parts(qwen.card, qwen.model)
    qwen.model.model.visual.blocks[0].requires_grad_(True)
    with pytest.raises(Failed, match=r"model\.visual\.blocks\.0.* trains although its tower is frozen"):
        models.check_trained_parts(qwen.card, qwen.model)


def test_adapters_that_reach_nothing_fail(qwen: Bench) -> None:
    qwen.model.requires_grad_(False)
    with pytest.raises(Failed, match="nothing trains under"):
        models.check_trained_parts(qwen.card, qwen.model)


def test_a_class_with_another_loss_fails(text: Any) -> None:
    card, folder, place = text
    job = models.train_job(card, folder, str(place / "loss"))
    model, tokenizer = models.load(job)
    items = models.encoded(job, tokenizer)
    models.check_loss(job, model, tokenizer, items)
    model.loss_function = lambda logits, labels, **_: torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten()
    )
    with pytest.raises(Failed, match="the class's own is"):
        models.check_loss(job, model, tokenizer, items)


def test_other_logits_after_a_reload_fail() -> None:
    with pytest.raises(Failed, match=r"reload gives other logits, by 0\.01"):
        models._same("reload", torch.full((2,), 0.01), torch.zeros(2), models.SAME)
    with pytest.raises(Failed):
        models._same("reload", torch.full((2,), float("nan")), torch.zeros(2), models.SAME)


# -- two processes ----------------------------------------------------------------------------------------------
def test_what_one_process_does_not_learn_is_told() -> None:
    """Losses apart, a weight apart (also by nan), a weight that is not saved; rounding is none of it."""
    one = {"losses": [6.0, 5.5], "weights": {"a": torch.zeros(2), "b": torch.ones(2)}}
    near = {"losses": [6.0001, 5.5], "weights": {"a": torch.full((2,), 1e-6), "b": torch.ones(2)}}
    assert not mixed_ranks.apart(near, one)
    assert mixed_ranks.apart({**one, "losses": [6.0, 5.6]}, one) == "the losses are [6.0, 5.6], not [6.0, 5.5]"
    for value in (0.1, float("nan")):
        moved = {"a": torch.zeros(2), "b": torch.full((2,), 1 + value)}
        assert mixed_ranks.apart({**one, "weights": moved}, one) == f"b ends {value:.2g} apart"
    assert "other weights are saved: ['b']" in mixed_ranks.apart({**one, "weights": {"a": torch.zeros(2)}}, one)


def test_of_each_class_the_family_that_reads_most_is_tried() -> None:
    given = ["qwen2_gme", "qwen2_vl", "qwen2", "qwen2_audio", "xcomposer2_5_ol_audio", "chatglm4v"]
    entries = [CATALOGUE.find("model", name) for name in given]
    assert [entry.name for entry in mixed_ranks.one_of_each_class(entries)] == ["qwen2_vl", "qwen2_audio"]


# -- the run ----------------------------------------------------------------------------------------------------
def _misbehave(how: str) -> dict[str, Any]:
    if how == "dies":
        os._exit(3)
    if how == "hangs":
        time.sleep(60)
    return {"well": how}


def test_a_child_that_dies_or_hangs_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TIME_LIMIT", 1.0)
    found = dict(runner.each(_misbehave, ["dies", "fine", "hangs"], jobs=2))
    assert found["fine"] == {"well": "fine"}
    assert found["dies"] == {"failed": "the process ended with exit code 3"}
    assert found["hangs"] == {"failed": "took longer than 1 s"}


def test_a_run_of_some_families_keeps_the_results_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "FILE", tmp_path / "results.json")
    command.write({"one": {"level": "model"}, "two": {"level": "card"}}, whole=True)
    command.write({"two": {"level": "template"}}, whole=False)
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "one": {"level": "model"},
        "two": {"level": "template"},
    }
    command.write({"two": {"level": "model"}}, whole=True)
    assert json.loads((tmp_path / "results.json").read_text()) == {"two": {"level": "model"}}

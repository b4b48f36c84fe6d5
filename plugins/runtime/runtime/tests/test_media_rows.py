"""Requests with media beside others: each is answered as `generate` answers it alone, and read once."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from swift_plugin_runtime.inference import engine as engines
from swift_plugin_runtime.inference import media_proof
from swift_plugin_runtime.inference.ragged import Row
from swift_testing.backends import start, user
from swift_testing.conformance.media import medium
from swift_testing.conformance.processors import make_processor
from swift_testing.conformance.tiny_family import write_checkpoint

from swift_core.catalogue.entries import Catalogue

FAMILIES = {
    "qwen2_vl": "image",
    "qwen2_5_vl": "image",
    "qwen3_vl": "image",
    "llava1_5_hf": "image",
    "gemma3_vision": "image",
    "internvl": "image",
    "qwen2_audio": "audio",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Family → the folder of its tiny model, made when it is asked for."""
    made: dict[str, str] = {}

    def folder(name):
        if name not in made:
            card = Catalogue.installed().find("model", name).load()
            processor, changes = make_processor(card)
            made[name] = write_checkpoint(card, tmp_path_factory.mktemp(name) / "model", processor, **changes)
        return made[name]

    return folder


def loaded(folder, **options):
    return start(model=folder, torch_dtype="float32", **options)


def asked(modality, *sizes, words="What is it?", **more):
    """A question about as many media as there are sizes, each (seed, whether it is large)."""
    media = [medium(modality, seed, large) for seed, large in sizes]
    text = " and ".join([f"<{modality}>"] * len(sizes)) + words
    return user(text, **{"max_new_tokens": 10, **({f"{modality}s": media} if media else {}), **more})


def questions(modality):
    return [
        asked(modality, (1, False)),
        user("What is 1 + 2?", max_new_tokens=14),
        asked(modality, (2, True), words="What do you see there, and why?"),
        asked(modality, (3, False), (4, True), max_new_tokens=7),
        asked(modality, (5, False), temperature=1.0, seed=3),
    ]


def in_static_batches(engine, requests):
    """The answers of `generate`, each alone."""
    proven, engine.media = engine.media, frozenset()
    try:
        return [engine.generate([request])[0] for request in requests]
    finally:
        engine.media = proven


@pytest.fixture
def no_static(monkeypatch):
    """Static batches that would be an error."""

    def forbid():
        monkeypatch.setattr(engines, "answer_together", lambda *_: pytest.fail("a static batch"))

    return forbid


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_beside_others_are_those_of_each_alone(checkpoints, no_static, capsys, family):
    engine = loaded(checkpoints(family), model_type=family)
    modality = FAMILIES[family]
    assert f"requests with {modality} are answered in static" not in capsys.readouterr().err
    requests = questions(modality)
    wanted = in_static_batches(engine, requests)
    no_static()
    together = engine.generate(requests)
    assert [reply.ids for reply in together] == [reply.ids for reply in wanted]
    assert together == wanted
    assert len({token for reply in together for token in reply.ids}) > 8, "such a model would prove nothing"
    one, other = (engine.generate([asked(modality, (seed, False))])[0] for seed in (1, 7))
    assert one == together[0]
    engine.close()
    assert other.prompt_tokens == one.prompt_tokens


def test_equal_prompts_are_read_once_and_pictures_are_not_mixed_up(checkpoints, no_static, monkeypatch):
    engine = loaded(checkpoints("qwen2_vl"))
    whole = Row.whole
    read = []
    monkeypatch.setattr(Row, "whole", lambda row, part: read.append(len(part.ids)) or whole(row, part))
    group = [asked("image", (1, False), temperature=1.0, seed=seed) for seed in range(4)]
    others = [asked("image", (7, False)), asked("image", (1, False), words="What else?")]
    wanted = in_static_batches(engine, [*group, *others])
    no_static()
    assert engine.generate([*group, *others]) == wanted
    assert len(read) == 3
    said = [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": wanted[0].text}]
    turn = user("And then?", max_new_tokens=9)
    turn.row.messages[:0] = said
    turn.row.images = [medium("image", 1)]
    again = engine.generate([turn])
    assert len(read) == 3, "the picture of the turn before was read again"
    engine.forget()
    assert engine.generate([turn]) == again and len(read) == 4
    engine.close()


def test_adapters_answer_about_pictures_in_one_call(checkpoints, no_static, tmp_path):
    import peft
    from transformers import AutoModelForImageTextToText

    folder, named = checkpoints("qwen2_vl"), []
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        model = AutoModelForImageTextToText.from_pretrained(folder)
        peft.get_peft_model(model, config).save_pretrained(tmp_path / name)
        named.append(f"{name}={tmp_path / name}")
    engine = loaded(folder, adapters=named)
    requests = [asked("image", (1, False), adapter=name) for name in (None, "one", "two")]
    wanted = in_static_batches(engine, requests)
    no_static()
    assert engine.adapters.mix_tokens and engine.generate(requests) == wanted
    assert len({reply.text for reply in wanted}) == 3
    engine.close()


def test_likelihoods_of_a_prompt_with_a_picture(checkpoints, no_static):
    engine = loaded(checkpoints("qwen2_vl"))
    request = asked("image", (1, False), logprobs=1, prompt_logprobs=0)
    (wanted,) = in_static_batches(engine, [request])
    no_static()
    (reply,) = engine.generate([request])
    assert [t.id for t in reply.prompt] == [t.id for t in wanted.prompt]
    known = [[t.logprob for t in [*r.prompt[1:], *r.tokens]] for r in (reply, wanted)]
    assert torch.allclose(torch.tensor(known[0]), torch.tensor(known[1]), atol=1e-4)
    engine.close()


def test_a_family_that_reads_pictures_otherwise_is_said_and_answers_in_static_batches(checkpoints, capsys):
    """Llama 3.2 Vision looks at pictures by layers of their own, at every token."""
    engine = loaded(checkpoints("llama3_2_vision"))
    assert (
        "requests with image are answered in static batches, not admitted between tokens: " in capsys.readouterr().err
    )
    requests = questions("image")[:3]
    assert engine.generate(requests) == [engine.generate([request])[0] for request in requests]
    engine.close()


def test_positions_that_go_wrong_are_noticed(checkpoints, monkeypatch, capsys):
    """The control: answers that are counted on from the number of tokens, not from the picture's positions."""
    monkeypatch.setattr("swift_plugin_runtime.inference.ragged._next", lambda _, length: length)
    engine = loaded(checkpoints("qwen2_vl"))
    assert "its logits beside others are others than alone" in capsys.readouterr().err
    assert engine.media == frozenset()
    assert media_proof.tried_media(engine.job, engine.model, engine.processor)[1].keys() >= {"image"}
    engine.close()

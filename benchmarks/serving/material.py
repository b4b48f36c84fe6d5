"""The models and requests of the benchmark."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from swift_testing.smollm2 import smollm2


def gpt2(folder: Path) -> str:
    """A GPT-2 of 12 layers with random weights in bfloat16 and SmolLM2's kind of tokenizer, in `folder`."""
    import torch
    import transformers
    from swift_testing.tiny import CHATML_TOKENS, SAMPLE_TEXTS, build_tokenizer

    tokenizer = build_tokenizer(SAMPLE_TEXTS, CHATML_TOKENS)
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=512, n_head=8, n_layer=12, vocab_size=8192, eos_token_id=0, bos_token_id=0)
    transformers.GPT2LMHeadModel(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


MODELS: dict[str, Any] = {"smollm2": smollm2, "gpt2": gpt2}
"""Name → a function that writes the model into a folder; it returns the folder, or None where it cannot."""


def prompt(length: int, seed: int) -> list[int]:
    """Random ids."""
    chance = random.Random(seed)
    return [chance.randrange(300, 1000) for _ in range(length)]


def mixed(count: int = 24) -> list[tuple[list[int], int]]:
    """(prompt, tokens of the answer) of requests whose lengths are log-normal: about 45 and 25 tokens in the mean."""
    chance = random.Random(0)
    lengths = [(chance.lognormvariate(3.4, 0.8), chance.lognormvariate(2.8, 1.0)) for _ in range(count)]
    return [
        (prompt(min(200, max(4, int(asked))), seed), min(120, max(4, int(answer))))
        for seed, (asked, answer) in enumerate(lengths)
    ]

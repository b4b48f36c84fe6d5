"""Models that answer something sensible, for tests of backends, servers and evaluators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

LESSONS: list[dict[str, Any]] = [
    {"query": "Name a colour.", "response": "Blue like the sky."},
    {"query": "Say hello.", "response": "Hello, world!"},
    {"query": "What is 2+2?", "response": "It is 4."},
    {"query": "你好", "response": "你好!我可以帮你吗?😀"},
    {
        "tools": [WEATHER],
        "messages": [
            {"role": "user", "content": "Weather in Paris?"},
            {
                "role": "assistant",
                "content": "I look.\n",
                "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}],
            },
            {"role": "tool", "content": "rain"},
            {"role": "assistant", "content": "It rains."},
        ],
    },
]
"""Rows that `taught_qwen2` knows by heart: plain, Chinese and emoji, and a tool call with its result."""


SHAPE = {"num_attention_heads": 2, "num_key_value_heads": 1}
"""Heads of 32 dimensions, the least that vLLM's attention for CPUs takes."""


def taught_qwen2(folder: str | Path, steps: int = 150, **options: Any) -> str:
    """A tiny Qwen2 with the chatml template and Hermes tool calls that was trained on LESSONS; its folder."""
    from swift_core.api import run
    from swift_testing.tiny import SAMPLE_TEXTS, tiny_qwen2

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in LESSONS]
    Path(folder, "lessons.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = {
        "model": tiny_qwen2(folder / "untaught", texts=[*SAMPLE_TEXTS, *lines * 4], **SHAPE),
        "dataset": [str(folder / "lessons.jsonl")],
        "output_dir": str(folder / "run"),
        "template": "chatml",
        "agent": "hermes",
        "tuner": ["full"],
        "max_steps": steps,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": len(LESSONS),
        "save_only_model": True,
    }
    return str(run("sft", **{**said, **options})["checkpoint"])


def random_lora(model: str, folder: str | Path, seed: int = 0) -> str:
    """A PEFT LoRA folder with random weights, strong enough to change the answers of the checkpoint `model`."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = peft.LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(str(folder))
    return str(folder)

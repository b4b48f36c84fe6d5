"""dpo, kto and grpo by hand, with flat batches; the reference is the model with LoRA off.

`python loop.py METHOD FOLDER BATCH`.

It does the work and nothing else: no logging, saving or checking. It shares no prompts and remembers nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from marks import Marks
from material import TEMPLATE, answered, chat, prompts, read, real_tokens

MARKS = Marks()

import torch  # noqa: E402
import transformers  # noqa: E402
from limit import LoRA, add_lora, attend, token_losses  # noqa: E402
from torch.nn import functional  # noqa: E402

GROUP, DRAWN, PROMPTS = 8, 32, 2


def token_logps(model: Any, rows: Any) -> list[torch.Tensor]:
    """log p of each trained token, row by row. rows: (ids, labels)."""
    logps = -token_losses(model, rows, "none")
    return list(logps.split([sum(i != -100 for i in row[1:]) for _, row in rows]))


def logps(model: Any, rows: Any) -> torch.Tensor:
    """log p of each answer, [rows]."""
    return torch.stack([line.sum() for line in token_logps(model, rows)])


class Reference:
    """A context in which LoRA is off and nothing is kept for gradients."""

    def __init__(self, model: Any):
        self.layers, self.off = [m for m in model.modules() if isinstance(m, LoRA)], torch.no_grad()

    def __enter__(self) -> None:
        self._switch(False)
        self.off.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.off.__exit__(*error)
        self._switch(True)

    def _switch(self, on: bool) -> None:
        for layer in self.layers:
            layer.on = on


def encoded(tokenizer: Any, messages: Any) -> tuple[list[int], list[int]]:
    """(ids, labels) of a prompt and its answer."""
    whole = tokenizer.apply_chat_template(messages, return_dict=False)
    asked = len(tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=False))
    return whole, [-100] * asked + whole[asked:]


def dpo(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """DPO's loss of some pairs."""
    both = [encoded(tokenizer, chat(row, side)) for side in ("chosen", "rejected") for row in rows]
    with Reference(model):
        before = logps(model, both)
    chosen, rejected = (logps(model, both) - before).chunk(2)
    return -functional.logsigmoid(0.1 * (chosen - rejected)).mean()


def kto(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """KTO's loss; the reference point comes from answers to the next question."""
    answers = [encoded(tokenizer, chat(row, answered(row))) for row, _ in rows]
    others = [
        encoded(tokenizer, [chat(row)[0], {"role": "assistant", "content": other[answered(other)]}])
        for row, other in rows
    ]
    with Reference(model):
        before = logps(model, answers + others)
    with torch.no_grad():
        apart = (logps(model, others) - before[len(rows) :]).mean().clamp(min=0)
    ratio = logps(model, answers) - before[: len(rows)]
    good = torch.tensor([row["label"] for row, _ in rows])
    return (1 - torch.sigmoid(0.1 * torch.where(good, ratio - apart, apart - ratio))).mean()


def drawn(model: Any, rows: Any, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """GROUP answers to each prompt, by transformers' generate, padded on the left."""
    talks = [chat(row)[:1] for row in rows for _ in range(GROUP)]
    asked = [tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False) for talk in talks]
    longest = max(map(len, asked))
    ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(a)) + a for a in asked])
    mask = torch.tensor([[0] * (longest - len(a)) + [1] * len(a) for a in asked])
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=DRAWN, do_sample=True, top_k=0)
    model.set_attn_implementation("limit")
    made = []
    for prompt, line in zip(asked, out[:, longest:].tolist(), strict=True):
        end = line.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in line else len(line)
        made.append((prompt + line[:end], [-100] * len(prompt) + line[:end]))
    return made


def grpo_step(model: Any, rows: Any, tokenizer: Any) -> tuple[float, int]:
    """The gradients of a step, a group at a time; returns (loss, drawn tokens)."""
    answers = drawn(model, rows, tokenizer)
    rewards = torch.tensor([float(len({*row[0]})) for row in answers]).view(-1, GROUP)
    advantages = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
    total = 0.0
    for first in range(0, len(answers), GROUP):
        part, weight = answers[first : first + GROUP], advantages[first : first + GROUP]
        with Reference(model):
            before = token_logps(model, part)
        loss = torch.zeros(())
        for now, past, advantage in zip(token_logps(model, part), before, weight, strict=True):
            ahead = past - now
            gain = torch.exp(now - now.detach()) * advantage
            loss = loss - (gain - 0.04 * (torch.exp(ahead) - ahead - 1)).mean() / len(answers)
        loss.backward()
        total += loss.item()
    return total, sum(i != -100 for _, labels in answers for i in labels)


def step(method: str, model: Any, rows: Any, tokenizer: Any) -> tuple[float, int]:
    """The gradients of a step; returns (loss, drawn tokens)."""
    if method == "grpo":
        return grpo_step(model, rows, tokenizer)
    loss = {"dpo": dpo, "kto": kto}[method](model, rows, tokenizer)
    loss.backward()
    return loss.item(), 0


def main(method: str, folder: Path, batch: int) -> None:
    """One pass over the rows."""
    transformers.AttentionInterface.register("limit", attend)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.chat_template = TEMPLATE
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="limit")
    add_lora(model)
    model.train()
    rows = prompts(folder) if method == "grpo" else read(folder)
    items = list(zip(rows, [*rows[1:], rows[0]], strict=True)) if method == "kto" else rows
    size = PROMPTS if method == "grpo" else batch
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer, losses, tokens = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0), [], 0
    steps = -(-len(items) // size)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 0, steps)
    MARKS.begun()
    for place in range(0, len(items), size):
        loss, count = step(method, model, items[place : place + size], tokenizer)
        losses.append(loss)
        tokens += count
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        MARKS.step()
    MARKS.ended()
    MARKS.tell(tokens=tokens or real_tokens(method, folder, tokenizer), steps=steps, losses=losses)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

"""Every method by hand, with flat batches; the reference is the model with LoRA off.

`python loop.py METHOD FOLDER BATCH`.

It does the work and nothing else: no logging, saving or checking. It shares no prompts and remembers nothing.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from marks import Marks
from material import DRAWING, TEMPLATE, answered, chat, prompts, read, real_tokens

MARKS = Marks()

import torch  # noqa: E402
import transformers  # noqa: E402
from limit import LoRA, add_lora, attend, last_hidden, token_losses  # noqa: E402
from torch.nn import functional  # noqa: E402

GROUP, DRAWN, PROMPTS, DIVERGENCE = 8, 32, 2, 0.04


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


def both_sides(rows: Any, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """The chosen answers, then the rejected ones."""
    return [encoded(tokenizer, chat(row, side)) for side in ("chosen", "rejected") for row in rows]


def dpo(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """DPO's loss of some pairs."""
    both = both_sides(rows, tokenizer)
    with Reference(model):
        before = logps(model, both)
    chosen, rejected = (logps(model, both) - before).chunk(2)
    return -functional.logsigmoid(0.1 * (chosen - rejected)).mean()


def compared(model: Any, rows: Any, tokenizer: Any) -> tuple[Any, Any, Any, Any]:
    """log p of chosen and rejected answers, whole and per token, [pairs] each."""
    lines = token_logps(model, both_sides(rows, tokenizer))
    whole, mean = (torch.stack([f(line) for line in lines]) for f in (torch.sum, torch.mean))
    return *whole.chunk(2), *mean.chunk(2)


def cpo(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """CPO's loss: the difference of log-likelihoods, and imitation."""
    chosen, rejected, per_token, _ = compared(model, rows, tokenizer)
    return (-functional.logsigmoid(0.1 * (chosen - rejected)) - per_token).mean()


def orpo(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """ORPO's loss: imitation, and the ratio of odds."""
    *_, chosen, rejected = compared(model, rows, tokenizer)
    odds = [logp - torch.log1p(-logp.exp()) for logp in (chosen, rejected)]
    return (-chosen - 0.1 * functional.logsigmoid(odds[0] - odds[1])).mean()


def rm(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """A reward model's loss; it reads the last token of each answer."""
    both = both_sides(rows, tokenizer)
    ends = torch.tensor([len(ids) for ids, _ in both]).cumsum(0) - 1
    rewards = functional.linear(last_hidden(model, both)[ends].float(), model.scores)[:, 0]
    chosen, rejected = rewards.chunk(2)
    return -functional.logsigmoid(chosen - rejected).mean()


def distribution(model: Any, rows: Any) -> torch.Tensor:
    """log p of every token of the vocabulary at each trained place, [places, vocabulary]."""
    wanted = torch.tensor([i != -100 for _, labels in rows for i in [*labels[1:], -100]])
    return model.lm_head(last_hidden(model, rows)[wanted]).float().log_softmax(-1)


def gkd(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """The Jensen-Shannon divergence from the teacher on given answers."""
    talks = [encoded(tokenizer, chat(row)) for row in rows]
    with torch.no_grad():
        teacher = distribution(model.teacher[0], talks)
    student = distribution(model, talks)
    mixture = torch.logaddexp(student, teacher) - math.log(2)
    sides = [functional.kl_div(mixture, side, reduction="sum", log_target=True) for side in (student, teacher)]
    return (sides[0] + sides[1]) / 2 / len(student)


def qlora(model: Any, rows: Any, tokenizer: Any) -> torch.Tensor:
    """The next-token loss on four-bit weights."""
    return token_losses(model, [encoded(tokenizer, chat(row)) for row in rows], "mean")


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


LOSSES = {"dpo": dpo, "kto": kto, "orpo": orpo, "cpo": cpo, "rm": rm, "gkd": gkd, "qlora": qlora}
"""Method → loss of some rows."""


def drawn(model: Any, rows: Any, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """GROUP answers to each prompt, by transformers' generate, padded on the left."""
    talks = [chat(row)[:1] for row in rows for _ in range(GROUP)]
    asked = [tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False) for talk in talks]
    longest = max(map(len, asked))
    ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(a)) + a for a in asked])
    mask = torch.tensor([[0] * (longest - len(a)) + [1] * len(a) for a in asked])
    model.set_attn_implementation("sdpa")
    with torch.no_grad(), MARKS.drawing():
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=DRAWN, do_sample=True, top_k=0)
    model.set_attn_implementation("limit")
    made = []
    for prompt, line in zip(asked, out[:, longest:].tolist(), strict=True):
        end = line.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in line else len(line)
        made.append((prompt + line[:end], [-100] * len(prompt) + line[:end]))
    return made


def policy_losses(method: str, now: list[Any], before: list[Any], advantages: torch.Tensor) -> torch.Tensor:
    """The loss of each answer; rloo takes an answer as one action, grpo each of its tokens."""
    losses = []
    for line, past, advantage in zip(now, before, advantages, strict=True):
        if method == "rloo":
            losses.append(-torch.exp(line.sum() - line.sum().detach()) * advantage)
            continue
        ahead, gain = past - line, torch.exp(line - line.detach()) * advantage
        losses.append(-(gain - DIVERGENCE * (torch.exp(ahead) - ahead - 1)).mean())
    return torch.stack(losses)


def advantages_of(method: str, rewards: torch.Tensor) -> torch.Tensor:
    """Of each answer, among those to the same prompt. rewards: [prompts, GROUP]."""
    if method == "rloo":
        return (rewards - (rewards.sum(1, keepdim=True) - rewards) / (GROUP - 1)).flatten()
    return ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()


def policy_step(method: str, model: Any, rows: Any, tokenizer: Any) -> tuple[float, int]:
    """The gradients of a step, a group at a time; returns (loss, drawn tokens)."""
    answers = drawn(model, rows, tokenizer)
    parts = [answers[first : first + GROUP] for first in range(0, len(answers), GROUP)]
    rewards = torch.tensor([float(len({*row[0]})) for row in answers])
    before = []
    for part in parts:
        with Reference(model):
            before += token_logps(model, part)
    if method == "rloo":  # the divergence is part of the reward
        with torch.no_grad():
            own = [line.sum() for part in parts for line in token_logps(model, part)]
        rewards = rewards - DIVERGENCE * torch.stack([a - b.sum() for a, b in zip(own, before, strict=True)])
    advantages, total = advantages_of(method, rewards.view(-1, GROUP)), 0.0
    for number, part in enumerate(parts):
        mine = slice(number * GROUP, (number + 1) * GROUP)
        loss = policy_losses(method, token_logps(model, part), before[mine], advantages[mine]).sum() / len(answers)
        loss.backward()
        total += loss.item()
    return total, sum(i != -100 for _, labels in answers for i in labels)


def step(method: str, model: Any, rows: Any, tokenizer: Any) -> tuple[float, int]:
    """The gradients of a step; returns (loss, drawn tokens)."""
    if method in DRAWING:
        return policy_step(method, model, rows, tokenizer)
    loss = LOSSES[method](model, rows, tokenizer)
    loss.backward()
    return loss.item(), 0


def loaded(method: str, folder: Path) -> Any:
    """The model with LoRA, and what its method needs beside it."""
    from swift_plugin_runtime.loading.products import quick_products

    quick_products()  # as limit.py: the products that we have
    transformers.AttentionInterface.register("limit", attend)
    more: dict[str, Any] = {"attn_implementation": "limit"}
    if method == "qlora":
        more["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", **more)
    add_lora(model)
    if method == "rm":
        model.scores = torch.nn.Parameter(torch.randn(1, model.config.hidden_size) * 0.02)
    if method == "gkd":  # in a list, so that it is no part of the model
        model.teacher = [transformers.AutoModelForCausalLM.from_pretrained(folder / "teacher", **more).eval()]
    return model.train()


def main(method: str, folder: Path, batch: int) -> None:
    """One pass over the rows."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.chat_template = TEMPLATE
    model = loaded(method, folder)
    rows = prompts(folder) if method in DRAWING else read(folder)
    items = list(zip(rows, [*rows[1:], rows[0]], strict=True)) if method == "kto" else rows
    size = PROMPTS if method in DRAWING else batch
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

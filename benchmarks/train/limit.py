"""The limit: a loop by hand that does nothing but the work, and no logging, saving, shuffling or checking.

Flat batches, attention per segment, the head and the cross-entropy on supervised positions alone, LoRA as two plain
matrix products in the model's precision on float32 masters, torch's fused AdamW. Whole weights have the precision that
ours have. `python limit.py FOLDER lora|full BATCH`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from marks import Marks, targets

MARKS = Marks()

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

SEGMENTS: list[int] = []


def attend(module, query, key, value, mask, scaling=None, **_):
    """Causal attention of each segment."""
    parts = [
        functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        for q, k, v in zip(*(t.split(SEGMENTS, dim=2) for t in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


class LoRA(nn.Module):
    """W x + α/r · B A x; A and B kept in float32, used in x's precision."""

    def __init__(self, base: nn.Linear, rank: int = 8, alpha: int = 32):
        super().__init__()
        self.base, self.scale, self.on = base, alpha / rank, True
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x):
        if not self.on:
            return self.base(x)
        low = functional.linear(x, self.a.to(x.dtype))
        return self.base(x) + functional.linear(low, self.b.to(x.dtype)) * self.scale


def add_lora(model, chosen="all-linear") -> None:
    """LoRA on every linear layer but the head, or on those with the names in `chosen`; nothing else trains."""
    model.requires_grad_(False)
    for parent in list(model.model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and (chosen == "all-linear" or name in chosen):
                setattr(parent, name, LoRA(child))


def encode(tokenizer, rows):
    """(ids, labels) per row."""
    done = tokenizer.apply_chat_template(
        [row["messages"] for row in rows], return_assistant_tokens_mask=True, return_dict=True
    )
    pairs = zip(done["input_ids"], done["assistant_masks"], strict=True)
    return [(ids, [i if m else -100 for i, m in zip(ids, mask, strict=True)]) for ids, mask in pairs]


def last_hidden(model: Any, rows: Any) -> torch.Tensor:
    """What the last layer says of the tokens of `rows`, laid end to end, [tokens, width]. rows: (ids, labels)."""
    SEGMENTS[:] = [len(ids) for ids, _ in rows]
    ids = torch.tensor([[i for ids, _ in rows for i in ids]])
    positions = torch.tensor([[n for ids, _ in rows for n in range(len(ids))]])
    return model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state[0]


def token_losses(model: Any, rows: Any, reduction: str) -> torch.Tensor:
    """Losses of the trained tokens of `rows`. rows: (ids, labels); reduction: as of cross_entropy."""
    labels = torch.tensor([i for _, row in rows for i in [*row[1:], -100]])
    hidden, wanted = last_hidden(model, rows), labels != -100
    return functional.cross_entropy(model.lm_head(hidden[wanted]).float(), labels[wanted], reduction=reduction)


def masters_of(model: Any) -> dict[torch.Tensor, torch.Tensor]:
    """Parameter → the float32 weight that the optimizer steps: itself, or for bfloat16 a copy that it is rounded to."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return {p: p if p.dtype == torch.float32 else p.detach().float() for p in trained}


def step(optimizer: Any, masters: dict[torch.Tensor, torch.Tensor], number: int) -> None:
    """Clip, step, and round the masters into the model."""
    from swift_plugin_runtime.rounding import rounded

    apart = [(p, master) for p, master in masters.items() if p is not master]
    for p, master in apart:
        master.grad, p.grad = p.grad.float(), None
    torch.nn.utils.clip_grad_norm_(masters.values(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    for p, master in apart:
        p.data.copy_(rounded(master, p.dtype, number))


def main(folder: Path, mode: str, batch: int) -> None:
    """One pass over the rows."""
    from swift_plugin_runtime.loading.products import quick_products  # not in the environments that take `encode` alone
    from swift_plugin_runtime.rounding import rounded
    from swift_plugin_runtime.training.masters import multiplies_bfloat16

    transformers.AttentionInterface.register("limit", attend)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="limit")
    quick_products()
    types = {name: value.dtype for name, value in model.state_dict().items()}
    whole = mode == "full" and not multiplies_bfloat16()
    model = model.float() if whole else model
    if mode == "lora":
        add_lora(model, targets(folder / "model"))
    model.train()
    rows = encode(tokenizer, [json.loads(line) for line in (folder / "rows.jsonl").open()])
    masters = masters_of(model)
    optimizer = torch.optim.AdamW(masters.values(), lr=1e-4, fused=True)
    MARKS.begun()
    for place in range(0, len(rows), batch):
        loss = token_losses(model, rows[place : place + batch], "mean")
        loss.backward()
        step(optimizer, masters, place)
        MARKS.step()
    if whole:
        [rounded(value, types[name], 0) for name, value in model.state_dict().items()]
    MARKS.ended()
    MARKS.tell(tokens=sum(len(ids) for ids, _ in rows), steps=-(-len(rows) // batch), loss=loss.item())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

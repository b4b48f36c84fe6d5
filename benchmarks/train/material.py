"""The model and the rows that every contestant gets: a random Qwen2 of 32 million parameters, chats of mixed length."""

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


def chats(count: int, seed: int = 1, longest: int = 700) -> list[dict[str, Any]]:
    """`count` conversations of one to three rounds, some 310 tokens each; lengths are log-normal."""
    writer = Writer(seed)
    chance = writer.chance

    def text(median: int) -> str:
        return writer.text(min(longest // 4, max(3, int(chance.lognormvariate(0, 0.8) * median))))

    def talk() -> list[dict[str, str]]:
        return [
            {"role": role, "content": text(median)}
            for _ in range(chance.choice((1, 1, 2, 3)))
            for role, median in (("user", 20), ("assistant", 45))
        ]

    return [{"messages": talk()} for _ in range(count)]


def write(folder: Path, count: int) -> None:
    """`folder/model` and `folder/rows.jsonl`."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    rows = chats(count)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"] - 8, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator((m["content"] for row in chats(2000, seed=2) for m in row["messages"]), trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = transformers.Qwen2Config(**SHAPE, eos_token_id=2, pad_token_id=0)
    transformers.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))

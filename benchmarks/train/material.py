"""The model and the rows that every contestant gets: a random Qwen2 of 32 million parameters, chats of mixed length."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

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


def words(count: int = 6000) -> list[str]:
    """Made-up words, the same in every run; the first are the most frequent in text."""
    chance = random.Random(0)
    syllables = [a + b for a in "bcdfghjklmnprstvz" for b in "aeiou"]
    return ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(count)]


def chats(count: int, seed: int = 1, longest: int = 700) -> list[dict[str, object]]:
    """`count` conversations of one to three rounds; lengths are log-normal, as those of real chats."""
    chance, vocabulary = random.Random(seed), words()

    def text(median: int) -> str:
        length = min(longest // 4, max(3, int(chance.lognormvariate(0, 0.8) * median)))
        return " ".join(vocabulary[int(len(vocabulary) * chance.random() ** 3)] for _ in range(length))

    def rounds() -> list[dict[str, str]]:
        return [
            {"role": role, "content": text(median)}
            for _ in range(chance.choice((1, 1, 2, 3)))
            for role, median in (("user", 20), ("assistant", 45))
        ]

    return [{"messages": rounds()} for _ in range(count)]


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
